// Whatever a registry does of what it can be asked to do: an answer that is right, or an error of ours; no secret leaves.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { staticKeychain } from '../../auth/keychain.ts';
import { resolveImage } from '../../content/image.ts';
import { blobOf, readBlob } from '../../content/read.ts';
import { digestOf } from '../../digest.ts';
import { RegistryError } from '../../errors.ts';
import { MediaType } from '../../oci/media-types.ts';
import { parseReference } from '../../reference.ts';
import { RegistryClient } from '../../remote/client.ts';
import { collect } from '../collect.ts';
import { listHostileImages } from '../hostile-image.ts';
import { pushTestImage } from '../image.ts';
import { startRegistry } from '../registry.ts';
import { type Fault, listFaults } from './mischief.ts';

const USER = { username: 'alice', password: 'hunter2-secret' };
const SECRETS = [USER.password, Buffer.from('alice:hunter2-secret').toString('base64'), 'X-Signature'];
const CONTENT = Buffer.from('layer bytes '.repeat(20_000));
const BLOB = { mediaType: 'text/plain', digest: digestOf(CONTENT), size: CONTENT.byteLength };
const NEW = Buffer.from('other bytes '.repeat(20_000));
const NEW_BLOB = { mediaType: 'text/plain', digest: digestOf(NEW), size: NEW.byteLength };

async function evil(faults: readonly Fault[]) {
  const elsewhere = await startRegistry({ bearer: USER, faults: ['send-back'], address: '127.0.0.2' });
  const registry = await startRegistry({ basic: USER, referrers: false, elsewhere: elsewhere.url });
  const client = new RegistryClient({
    keychain: staticKeychain({ [registry.host]: { kind: 'basic', ...USER } }),
    ...{ attempts: 3, baseDelayMs: 1, headersTimeoutMs: 100, bodyTimeoutMs: 100, chunkBytes: 100_000 },
    minimumThroughput: { bytesPerSecond: 20_000, windowMs: 100 },
  });
  const reference = parseReference(`${registry.host}/app:1`);
  const image = await pushTestImage(client, reference, { layers: [[{ path: 'a', content: 'a' }]] });
  await client.pushBlob(reference, blobOf(CONTENT, BLOB));
  registry.misbehave(...faults);
  return {
    ...{ registry, elsewhere, client, reference, image },
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await registry.close();
      await elsewhere.close();
    },
  };
}

/** Everything a client does, with what must be so when it succeeds. */
function operations({ client, reference, image }: Awaited<ReturnType<typeof evil>>) {
  const { digest } = image.manifest;
  const pinned = { ...reference, digest };
  const other = { ...reference, repository: 'other' };
  return {
    resolve: async () => expect((await client.resolve(pinned)).digest).toBe(digest),
    'fetch by tag': async () => {
      const { bytes, descriptor } = await client.fetchManifest(reference);
      expect(digestOf(bytes)).toBe(descriptor.digest);
    },
    'fetch by digest': async () => expect(digestOf((await client.fetchManifest(pinned)).bytes)).toBe(digest),
    'resolve an image': async () => {
      const found = await resolveImage(reference, { source: client });
      expect(found.config).toEqual(image.config);
    },
    'read a blob': async () => expect(await readBlob(client, reference, BLOB)).toEqual(CONTENT),
    'list tags': async () => expect(await collect(client.tags(reference))).toEqual(['1']),
    'list referrers': async () => void (await collect(client.referrers(reference, digest))),
    'push a blob': async () =>
      expect(await client.pushBlob(reference, blobOf(NEW, NEW_BLOB))).toMatch(/uploaded|exists/),
    'mount a blob': async () =>
      expect(await client.pushBlob(other, blobOf(CONTENT, BLOB), { mountFrom: reference })).toMatch(
        /mounted|uploaded|exists/,
      ),
    'push a referrer': async () => {
      const document = {
        ...{ schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: 'text/note' },
        ...{ config: image.config, layers: [], subject: image.manifest },
      };
      const bytes = Buffer.from(JSON.stringify(document));
      const stored = { bytes, mediaType: MediaType.ociManifest };
      expect((await client.pushManifest({ ...reference, tag: 'note' }, stored)).digest).toBe(digestOf(bytes));
    },
    ping: async () => void (await client.ping(reference.registry)),
  };
}

describe('RegistryClient before a registry that', () => {
  test.each(listFaults().map(({ does, name }) => [does, name] as const))('%s (%s)', async (_does, name) => {
    await using it = await evil([name]);
    for (const [what, work] of Object.entries(operations(it))) {
      const error = await work().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) continue;
      // What is no error of ours is a wrong answer, or a bug.
      if (!(error instanceof RegistryError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
      const told = [JSON.stringify(error), error.stack, String(error.cause)].join();
      for (const secret of SECRETS) expect(told, what).not.toContain(secret);
    }
    expect(it.elsewhere.authorizations).toEqual([]);
    expect(it.registry.requests.length).toBeLessThan(1500);
  });
});

describe('listFaults()', () => {
  test('names each fault once, with what it does', () => {
    const faults = listFaults();
    expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length);
    for (const { does, threat } of faults) {
      expect(does.length).toBeGreaterThan(10);
      expect(threat).not.toBe('');
    }
  });

  test('is told in the guide, word for word', () => {
    const guide = readFileSync(
      new URL('../../../../../docs/guides/test-with-a-registry.md', import.meta.url),
      'utf8',
    );
    for (const { name, does } of listFaults()) expect(guide).toContain(`| \`${name}\` | ${does} |`);
    for (const { name, holds } of listHostileImages()) expect(guide).toContain(`| \`${name}\` | ${holds} |`);
  });

  test('knows what misbehave() does not', async () => {
    await using registry = await startRegistry();
    expect(() => registry.misbehave('no-such-fault' as Fault)).toThrow('there is no fault "no-such-fault"');
  });
});
