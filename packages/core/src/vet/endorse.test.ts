import { digestOf, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry } from '@imagevet/registry/testing';
import { createKeyStore, signTags } from '@imagevet/trust';
import { startNotary } from '@imagevet/trust/testing';
import { describe, expect, test } from 'vitest';
import { type EndorseOptions, endorse } from './endorse.ts';

/** An image in an internal registry, and a notary; `tag` is the name it is to get. */
async function start(tag: string, others: readonly string[] = []) {
  const registry = await startRegistry();
  const notary = await startNotary();
  const client = new RegistryClient();
  const target = parseReference(`${registry.host}/vetted/app:${tag}`);
  const built = { ...target, tag: 'build-1' };
  const { manifest, config, diffIds } = await pushTestImage(client, built, {
    layers: [[{ path: 'a', content: 'a' }]],
  });
  const reference = { ...built, digest: manifest.digest };
  const image = { reference, descriptor: manifest, diffIds, imageId: config.digest };
  const rivals = await Promise.all(
    others.map(async (content) => {
      const other = await pushTestImage(
        client,
        { ...target, tag: `build-${content}` },
        {
          layers: [[{ path: 'a', content }]],
        },
      );
      const { digest } = other.manifest;
      const found = { reference: { ...target, digest }, descriptor: other.manifest, diffIds: other.diffIds };
      return { node: 'app', image: { ...found, imageId: other.config.digest }, target };
    }),
  );
  const options: EndorseOptions = { registry: client, server: notary.server, keys: createKeyStore() };
  return {
    notary,
    client,
    target,
    digest: manifest.digest,
    options,
    rivals,
    one: [{ node: 'app', image, target }],
    endorse: () => endorse([{ node: 'app', image, target }], options),
    async [Symbol.asyncDispose]() {
      await client.close();
      await notary.close();
      await registry.close();
    },
  };
}

describe('endorse()', () => {
  test('makes a second name that is no longer than a tag may be', async () => {
    await using it = await start('t'.repeat(128));
    const [endorsement] = await it.endorse();
    expect(endorsement?.tags.map((tag) => tag.length)).toEqual([128, 100 + '-20261123-'.length + 12]);
    for (const tag of endorsement?.tags ?? []) {
      expect(await it.client.resolve({ ...it.target, tag })).toMatchObject({ digest: it.digest });
    }
    expect(endorsement?.verified).toBe(true);
  });

  test('row 47: who was cut off between signing and naming runs again and converges', async () => {
    await using it = await start('1');
    const controller = new AbortController();
    const registry = {
      resolve: it.client.resolve.bind(it.client),
      fetchManifest: it.client.fetchManifest.bind(it.client),
      openBlob: it.client.openBlob.bind(it.client),
      pushBlob: it.client.pushBlob.bind(it.client),
      pushManifest: async () => {
        controller.abort(new Error('killed'));
        throw controller.signal.reason;
      },
    };
    const cut = endorse(it.one, { ...it.options, registry, signal: controller.signal });
    await expect(cut).rejects.toThrow('killed');
    // Signed and not named: nobody runs it by its name, and nothing has the name unsigned.
    await expect(it.client.resolve(it.target)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const [endorsement] = await it.endorse();
    expect(endorsement).toMatchObject({ digest: it.digest, verified: true });
    expect(await it.client.resolve(it.target)).toMatchObject({ digest: it.digest });
  });

  test('row 48: of two runs that give one name to two images, one wins and the other is told', async () => {
    await using it = await start('1', ['b']);
    const [rival] = it.rivals;
    if (rival === undefined) throw new Error('no rival');
    // The rival signs and names after the first has signed, and before it gives the name.
    let begun = false;
    const slow = {
      resolve: it.client.resolve.bind(it.client),
      fetchManifest: it.client.fetchManifest.bind(it.client),
      openBlob: it.client.openBlob.bind(it.client),
      pushBlob: it.client.pushBlob.bind(it.client),
      pushManifest: async (...parameters: Parameters<typeof it.client.pushManifest>) => {
        if (!begun) {
          begun = true;
          await endorse([rival], it.options);
        }
        return it.client.pushManifest(...parameters);
      },
    };
    await expect(endorse(it.one, { ...it.options, registry: slow })).rejects.toMatchObject({
      code: 'PROMOTION_CONFLICT',
      details: { own: it.digest, signed: rival.image.descriptor.digest },
    });
    // The name follows the signature.
    expect(await it.client.resolve(it.target)).toMatchObject({ digest: rival.image.descriptor.digest });
  });

  test('row 48: however two runs meet, the name ends as the signature says', async () => {
    await using it = await start('1', ['b']);
    const results = await Promise.allSettled([it.endorse(), endorse(it.rivals, it.options)]);
    const winners = results.filter(({ status }) => status === 'fulfilled');
    expect(winners.length).toBeGreaterThan(0);
    for (const result of results) {
      if (result.status === 'rejected')
        expect((result.reason as { code: string }).code).toMatch(/PROMOTION_CONFLICT|CONFLICT|DIGEST/);
    }
    const { digest } = await it.client.resolve(it.target);
    const won = winners.map((result) =>
      result.status === 'fulfilled' ? result.value[0]?.digest : undefined,
    );
    expect(won).toContain(digest);
  });

  test('gives no name when somebody with the keys signs another digest before the read-back', async () => {
    await using it = await start('1');
    const { registry, repository } = it.target;
    it.notary.intercept = ({ method }, reply) => {
      if (method !== 'POST') return reply;
      it.notary.intercept = undefined;
      const other = { tag: '1', digest: digestOf('other'), size: 5 };
      const collection = `${registry}/${repository}`;
      const published = signTags({ collection, ...it.options, targets: [other] });
      return published.then(() => reply) as never;
    };
    await expect(it.endorse()).rejects.toMatchObject({ name: 'TrustError' });
    await expect(it.client.resolve(it.target)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
