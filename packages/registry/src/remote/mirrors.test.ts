import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import { copyImage } from '../content/copy.ts';
import { resolveImage } from '../content/image.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import type { Fault } from '../testing/faults/mischief.ts';
import { pushTestImage } from '../testing/image.ts';
import { startRegistry, type TestRegistryOptions } from '../testing/registry.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import type { RegistryEndpoint } from './endpoints.ts';
import type { MirrorFailure } from './mirrors.ts';

const USER = { username: 'alice', password: 'secret' };
const NAME = parseReference('example.test/team/app:1');
const LAYERS = [[{ path: 'a', content: 'a'.repeat(300_000) }]];

/** A registry `example.test` and a mirror of it, both holding one image. */
async function pair(
  options: {
    readonly mirror?: Partial<RegistryEndpoint>;
    readonly mirrorServer?: TestRegistryOptions;
    readonly registryServer?: TestRegistryOptions;
    readonly client?: RegistryClientOptions;
  } = {},
) {
  const registry = await startRegistry(options.registryServer);
  const mirror = await startRegistry(options.mirrorServer);
  const failures: MirrorFailure[] = [];
  const hosts = {
    endpoints: () => [{ url: mirror.url, mirror: true, ...options.mirror }, { url: registry.url }],
  };
  const keychain = {
    resolve: async ({ registry: name }: { readonly registry: string }) =>
      name === registry.host || name === mirror.host ? ({ kind: 'basic', ...USER } as const) : undefined,
  };
  const at = (url: string) => new RegistryClient({ hosts: { 'example.test': { url } }, keychain });
  await using toRegistry = at(registry.url);
  const image = await pushTestImage(toRegistry, NAME, { layers: LAYERS });
  await using toMirror = at(mirror.url);
  await pushTestImage(
    toMirror,
    { ...NAME, repository: options.mirror?.repository ?? NAME.repository },
    { layers: LAYERS },
  );
  const client = new RegistryClient({
    baseDelayMs: 1,
    hosts,
    keychain,
    onMirrorFailure: (failure) => failures.push(failure),
    ...options.client,
  });
  const [before, mirrorBefore] = [registry.requests.length, mirror.requests.length];
  return {
    registry,
    mirror,
    client,
    image,
    failures,
    asked: () => registry.requests.slice(before),
    mirrorAsked: () => mirror.requests.slice(mirrorBefore),
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await registry.close();
      await mirror.close();
    },
  };
}

describe('RegistryClient with a mirror', () => {
  test('reads everything from the mirror, and never asks the registry', async () => {
    await using it = await pair();
    const image = await resolveImage(NAME, { source: it.client });
    expect(image).toEqual(it.image);
    for (const layer of image.layers) await readBlob(it.client, NAME, layer, {});
    expect(it.asked()).toEqual([]);
    expect(it.failures).toEqual([]);
  });

  test.each([
    ['unavailable', 'UNREACHABLE'],
    ['rate-limit', 'RATE_LIMITED'],
    ['cut-blobs-always', 'UNREACHABLE'],
  ] as const)('passes a mirror over that answers %s, and says so', async (fault: Fault, code) => {
    await using it = await pair();
    it.mirror.misbehave(fault);
    const image = await resolveImage(NAME, { source: it.client });
    const [layer] = image.layers;
    const bytes = await readBlob(it.client, NAME, layer ?? image.config, {});
    expect(digestOf(bytes)).toBe(layer?.digest);
    expect(it.failures).toContainEqual(
      expect.objectContaining({ registry: 'example.test', endpoint: `${it.mirror.url}/`, code }),
    );
  });

  test('passes a mirror over that does not have it, each time', async () => {
    await using it = await pair();
    await using direct = new RegistryClient({
      hosts: { 'example.test': { url: it.registry.url } },
      keychain: { resolve: async () => ({ kind: 'basic', ...USER }) },
    });
    const other = await pushTestImage(
      direct,
      { ...NAME, tag: '2' },
      { layers: [[{ path: 'b', content: 'b' }]] },
    );
    expect((await it.client.resolve({ ...NAME, tag: '2' })).digest).toBe(other.manifest.digest);
    expect(it.failures).toMatchObject([{ code: 'NOT_FOUND' }]);
    await expect(it.client.resolve({ ...NAME, tag: '3' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`before it ${it.mirror.url}/ (NOT_FOUND) failed`),
    });
    expect((await it.client.resolve(NAME)).digest).toBe(it.image.manifest.digest);
    expect(it.mirrorAsked()).toHaveLength(3);
  });

  test('lets a mirror rest that nobody answers at', async () => {
    await using it = await pair();
    await it.mirror.close();
    await resolveImage(NAME, { source: it.client });
    expect(it.failures).toHaveLength(1);
    expect(it.failures[0]?.code).toBe('UNREACHABLE');
  });

  test('asks a resting mirror again when the registry is gone', async () => {
    await using it = await pair();
    it.mirror.misbehave('unavailable-twice');
    await it.client.resolve(NAME);
    await it.registry.close();
    expect((await it.client.resolve(NAME)).digest).toBe(it.image.manifest.digest);
  });

  test.each(['other-bytes', 'gzip-bomb'] as const)(
    'names the mirror that serves %s, and asks nobody else',
    async (fault) => {
      await using it = await pair();
      it.mirror.misbehave(fault);
      const reading = it.client.fetchManifest({ ...NAME, digest: it.image.manifest.digest });
      await expect(reading).rejects.toMatchObject({
        code: fault === 'other-bytes' ? 'DIGEST_MISMATCH' : 'LIMIT_EXCEEDED',
        message: expect.stringContaining(`from the mirror ${it.mirror.url}`),
        details: { endpoint: `${it.mirror.url}/` },
      });
      expect(it.asked()).toEqual([]);
    },
  );

  test('names the mirror that serves another blob', async () => {
    await using it = await pair();
    const layer = it.image.layers[0] ?? it.image.config;
    const bytes = Buffer.from(await readBlob(it.client, NAME, layer, {}));
    bytes[0] = 0xff;
    it.mirror.corruptBlob(layer.digest, bytes);
    await expect(readBlob(it.client, NAME, layer, {})).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      details: { endpoint: `${it.mirror.url}/` },
    });
    expect(it.asked()).toEqual([]);
  });

  test('writes, tags, deletes and lists at the registry only', async () => {
    await using it = await pair();
    const bytes = Buffer.from('blob');
    const blob = blobOf(bytes, { mediaType: 'text/plain', digest: digestOf(bytes), size: 4 });
    expect(await it.client.pushBlob(NAME, blob)).toBe('uploaded');
    const image = { ...NAME, digest: it.image.manifest.digest };
    expect(await it.client.resolve(image, { mirrors: false })).toEqual(it.image.manifest);
    await it.client.tag(NAME, '2');
    expect(await collect(it.client.tags(NAME))).toEqual(['1', '2']);
    expect(await collect(it.client.repositories('example.test'))).toEqual(['team/app']);
    expect(await collect(it.client.referrers(NAME, it.image.manifest.digest))).toEqual([]);
    await it.client.deleteManifest({ ...NAME, digest: it.image.manifest.digest });
    expect(it.mirrorAsked()).toEqual([]);
  });

  test.each([
    ['digest-only', 1, 1],
    ['tag-only', 1, 1],
  ] as const)(
    'asks a mirror of kind %s only for what it is for',
    async (pullFromMirror, asked, mirrorAsked) => {
      await using it = await pair({ mirror: { pullFromMirror } });
      await it.client.fetchManifest(NAME);
      await it.client.fetchManifest({ ...NAME, digest: it.image.manifest.digest });
      expect([it.asked().length, it.mirrorAsked().length]).toEqual([asked, mirrorAsked]);
      expect(it.mirrorAsked()[0]).toContain(
        pullFromMirror === 'tag-only' ? 'manifests/1' : 'manifests/sha256:',
      );
    },
  );

  test('says in the receipt who answered', async () => {
    const at = new Date('2026-01-02T03:04:05Z');
    await using it = await pair({ client: { now: () => at } });
    const { digest, mediaType, size } = it.image.manifest;
    const receipt = { reference: 'example.test/team/app:1', digest, mediaType, size, at: at.toISOString() };
    expect(await it.client.resolveWithReceipt(NAME)).toMatchObject({
      ...receipt,
      endpoint: `${it.mirror.url}/`,
      mirror: true,
    });
    await it.mirror.close();
    expect(await it.client.resolveWithReceipt(NAME)).toMatchObject({
      ...receipt,
      endpoint: `${it.registry.url}/`,
      mirror: false,
    });
  });

  test('shows each endpoint its own credentials, and tokens for its own path', async () => {
    const seen: string[] = [];
    await using it = await pair({
      mirror: { repository: 'copies/app' },
      mirrorServer: { bearer: USER },
      registryServer: { basic: USER },
      client: {
        keychain: {
          resolve: async ({ registry, repository }) => {
            seen.push(`${registry}/${repository}`);
            return { kind: 'basic', ...USER };
          },
        },
      },
    });
    await it.client.fetchManifest(NAME);
    expect(seen).toEqual([`${it.mirror.host}/copies/app`]);
    expect(it.mirrorAsked().find((line) => line.includes('/token'))).toContain(
      'repository%3Acopies%2Fapp%3Apull',
    );
    it.mirror.misbehave('unavailable');
    await it.client.fetchManifest(NAME);
    expect(seen).toEqual([`${it.mirror.host}/copies/app`, `${it.registry.host}/team/app`]);
  });

  test('sends ns= and its own headers to an endpoint that wants them, and to none beyond', async () => {
    const headers: (string | undefined)[] = [];
    const intercept = (request: { headers: Record<string, unknown> }) => {
      headers.push(request.headers['x-key'] as string | undefined);
      return false;
    };
    await using it = await pair({
      mirror: { namespace: 'example.test', headers: { 'x-key': 'k' } },
      mirrorServer: { intercept },
      registryServer: { intercept },
    });
    headers.length = 0;
    await it.client.fetchManifest(NAME);
    it.mirror.misbehave('unavailable');
    await it.client.fetchManifest(NAME);
    expect(headers).toEqual(['k', 'k', undefined]);
    expect(it.mirrorAsked().every((line) => line.endsWith('?ns=example.test'))).toBe(true);
    expect(it.asked().every((line) => !line.includes('ns='))).toBe(true);
  });

  test('ends when it is aborted, without asking the next', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as { port: number };
    await using it = await pair({ mirror: { url: `http://127.0.0.1:${port}` } });
    const controller = new AbortController();
    const reason = new Error('enough');
    silent.once('connection', (socket) => {
      controller.abort(reason);
      socket.unref();
    });
    await expect(it.client.resolve(NAME, { signal: controller.signal })).rejects.toBe(reason);
    expect(it.asked()).toEqual([]);
    silent.close();
  });
});

describe.skipIf(!available('docker-registry'))('RegistryClient between two docker-registries', () => {
  test('reads from the mirror, falls back, and pushes to the registry', async () => {
    const registry = await startDockerRegistry();
    const mirror = await startDockerRegistry();
    try {
      await using direct = new RegistryClient();
      const image = await pushTestImage(direct, parseReference(`${mirror.host}/team/app:1`), {
        layers: LAYERS,
      });
      const failures: MirrorFailure[] = [];
      await using client = new RegistryClient({
        hosts: { endpoints: () => [{ url: mirror.url, mirror: true }, { url: registry.url }] },
        onMirrorFailure: (failure) => failures.push(failure),
        baseDelayMs: 1,
      });
      expect((await client.resolveWithReceipt(NAME)).endpoint).toBe(`${mirror.url}/`);
      await copyImage(NAME, { ...NAME, repository: 'team/copy' }, { source: client, destination: client });
      // The tags of cosign, which nobody has.
      expect(failures.splice(0).map(({ code }) => code)).toEqual(Array(3).fill('NOT_FOUND'));
      const copied = await resolveImage(parseReference(`${registry.host}/team/copy:1`), { source: direct });
      expect(copied.manifest.digest).toBe(image.manifest.digest);
      await mirror.close();
      const receipt = await client.resolveWithReceipt({ ...NAME, repository: 'team/copy' });
      expect(receipt).toMatchObject({
        endpoint: `${registry.url}/`,
        mirror: false,
        digest: image.manifest.digest,
      });
      expect(failures).toMatchObject([{ code: 'UNREACHABLE' }]);
    } finally {
      await Promise.all([registry.close(), mirror.close()]);
    }
  });
});
