import { digestOf, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startRegistry } from '@imagevet/registry/testing';
import { createKeyStore, signTags } from '@imagevet/trust';
import { startNotary } from '@imagevet/trust/testing';
import { describe, expect, test } from 'vitest';
import { type EndorseOptions, endorse } from './endorse.ts';

/** An image in an internal registry, and a notary; `tag` is the name it is to get. */
async function start(tag: string) {
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
  const options: EndorseOptions = { registry: client, server: notary.server, keys: createKeyStore() };
  return {
    notary,
    client,
    target,
    digest: manifest.digest,
    options,
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
