import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import { staticKeychain } from '../auth/keychain.ts';
import { resolveImage } from '../content/image.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import { type ImageReference, parseReference } from '../reference.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry, type TestRegistry, type TestRegistryOptions } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';
import { referrersTag } from './referrers-tag.ts';

const code = (expected: string) => expect.objectContaining({ code: expected });
const impatient = { attempts: 3, baseDelayMs: 1 };

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const content = Buffer.from('a blob of some length, to be cut in pieces');
const descriptor = { mediaType: MediaType.ociLayer, digest: digestOf(content), size: content.byteLength };

/** The in-process registry and, where installed, the real one: both must behave alike. */
const registries = [
  ['the in-process registry', () => startRegistry()],
  ...(available('docker-registry') ? [['docker-registry', () => startDockerRegistry()] as const] : []),
] as const;

describe.each(registries)('RegistryClient with %s', (_name, start) => {
  let host: string;
  let close: () => Promise<void>;
  const client = new RegistryClient(impatient);

  beforeAll(async () => {
    const registry = await start();
    host = registry.host;
    close = () => registry.close();
  });
  afterAll(async () => {
    await client.close();
    await close();
  });

  test('pushes an image and reads back what it pushed', async () => {
    const reference = parseReference(`${host}/team/app:1`);
    const pushed = await pushTestImage(client, reference, {
      layers: [[{ path: 'etc/hostname', content: 'x' }], [{ path: 'srv/', mode: 0o700 }]],
    });
    expect(pushed.layers).toHaveLength(2);
    expect(pushed.history).toHaveLength(2);
    expect(await client.resolve(reference)).toMatchObject({ digest: pushed.manifest.digest });
    const byDigest = { ...reference, tag: undefined, digest: pushed.manifest.digest };
    expect((await resolveImage(byDigest, { source: client })).diffIds).toEqual(pushed.diffIds);
  });

  test('uploads once, then finds it there, then mounts it elsewhere', async () => {
    const from = { registry: host, repository: 'team/from' };
    const to = { registry: host, repository: 'team/to' };
    expect(await client.pushBlob(from, blobOf(content, descriptor))).toBe('uploaded');
    expect(await client.pushBlob(from, blobOf(content, descriptor))).toBe('exists');
    expect(await client.pushBlob(to, blobOf(content, descriptor), { mountFrom: from })).toBe('mounted');
    expect(await readBlob(client, to, descriptor)).toEqual(content);
  });

  test('chooses the platform of an index', async () => {
    const repository = { registry: host, repository: 'team/multi' };
    const images = [];
    for (const architecture of ['amd64', 'arm64']) {
      images.push(
        await pushTestImage(
          client,
          { ...repository, tag: architecture },
          { layers: [[{ path: architecture, content: '' }]], config: { architecture } },
        ),
      );
    }
    const index = await pushTestIndex(client, { ...repository, tag: 'all' }, images);
    const found = await resolveImage(
      { ...repository, tag: 'all' },
      { source: client, platform: { os: 'linux', architecture: 'arm64' } },
    );
    expect(found.index?.digest).toBe(index.digest);
    expect(found.manifest.digest).toBe(images[1]?.manifest.digest);
    await expect(
      resolveImage(
        { ...repository, tag: 'all' },
        { source: client, platform: { os: 'linux', architecture: 's390x' } },
      ),
    ).rejects.toThrow(code('PLATFORM_NOT_FOUND'));
  });

  test('lists tags', async () => {
    const repository = { registry: host, repository: 'team/tags' };
    for (const tag of ['b', 'a', 'c']) await pushTestImage(client, { ...repository, tag }, { layers: [] });
    expect((await collect(client.tags(repository))).sort()).toEqual(['a', 'b', 'c']);
  });

  test('lists referrers by the fallback tag where there is no API (row 25)', async () => {
    const reference = parseReference(`${host}/team/fallback:1`);
    const { manifest } = await pushTestImage(client, reference, { layers: [] });
    const artifact = { ...manifest, artifactType: 'application/x.test' };
    await client.pushManifest(
      { ...reference, tag: referrersTag(manifest.digest) },
      {
        mediaType: MediaType.ociIndex,
        bytes: Buffer.from(
          JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [artifact] }),
        ),
      },
    );
    const found = await collect(
      client.referrers(reference, manifest.digest, { artifactType: 'application/x.test' }),
    );
    // The in-process registry has the API, where nothing refers to it; docker-registry 2.8 has only the tag.
    expect(found.length).toBe(_name === 'docker-registry' ? 1 : 0);
  });

  test('says NOT_FOUND for what is not there', async () => {
    await expect(client.fetchManifest(parseReference(`${host}/team/nothing:1`))).rejects.toThrow(
      code('NOT_FOUND'),
    );
    const absent = { ...descriptor, digest: digestOf('absent') };
    await expect(readBlob(client, { registry: host, repository: 'team/from' }, absent)).rejects.toThrow(
      code('NOT_FOUND'),
    );
  });

  test('deletes a manifest by digest', async () => {
    const reference = parseReference(`${host}/team/deleted:1`);
    const { manifest } = await pushTestImage(client, reference, {
      layers: [[{ path: 'x', content: 'deleted' }]],
    });
    await client.deleteManifest({ ...reference, tag: undefined, digest: manifest.digest });
    await expect(client.resolve(reference)).rejects.toThrow(code('NOT_FOUND'));
  });
});

describe('RegistryClient', () => {
  const started: { close(): Promise<void> }[] = [];
  afterAll(async () => {
    for (const { close } of started) await close();
  });

  async function registryWith(
    options: TestRegistryOptions = {},
  ): Promise<{ registry: TestRegistry; reference: ImageReference }> {
    const registry = await startRegistry(options);
    started.push(registry);
    return { registry, reference: parseReference(`${registry.host}/team/app:1`) };
  }

  test('lists referrers by the API', async () => {
    const { reference } = await registryWith();
    const client = new RegistryClient(impatient);
    const { manifest } = await pushTestImage(client, reference, { layers: [] });
    const artifact = {
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      artifactType: 'application/x.test',
      config: { ...descriptor, mediaType: MediaType.ociEmpty },
      layers: [],
      subject: manifest,
    };
    await client.pushManifest(
      { ...reference, tag: undefined },
      { mediaType: MediaType.ociManifest, bytes: Buffer.from(JSON.stringify(artifact)) },
    );
    const found = await collect(client.referrers(reference, manifest.digest));
    expect(found.map(({ artifactType }) => artifactType)).toEqual(['application/x.test']);
    expect(await collect(client.referrers(reference, manifest.digest, { artifactType: 'other' }))).toEqual(
      [],
    );
  });

  test('follows tag pages on the same host only', async () => {
    const { registry, reference } = await registryWith({
      intercept: (request, response) => {
        if (request.url?.includes('tags/list') !== true || request.url.includes('evil')) return false;
        if (!request.url.includes('last=')) request.url = request.url.replace(/n=\d+/, 'n=2');
        if (reference.repository === 'evil')
          response.setHeader('link', '<http://evil.example/v2/>; rel="next"');
        return false;
      },
    });
    const client = new RegistryClient(impatient);
    for (const tag of ['a', 'b', 'c', 'd', 'e'])
      await pushTestImage(client, { ...reference, tag }, { layers: [] });
    expect(await collect(client.tags(reference))).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(registry.requests.filter((line) => line.includes('tags/list'))).toHaveLength(3);
  });

  test('refuses a next page on another host (S5)', async () => {
    const { reference } = await registryWith({
      intercept: (request, response) => {
        if (request.url?.includes('tags/list') !== true) return false;
        response.setHeader('link', '<http://evil.example/v2/>; rel="next"');
        response.end('{"tags":["a"]}');
        return true;
      },
    });
    await expect(collect(new RegistryClient(impatient).tags(reference))).rejects.toThrow(
      code('REDIRECT_REFUSED'),
    );
  });

  test('refuses blob bytes that do not hash to the digest, before the stream ends (S6, attack row 16)', async () => {
    const { registry, reference } = await registryWith();
    const client = new RegistryClient(impatient);
    await client.pushBlob(reference, blobOf(content, descriptor));
    const evil = Buffer.from(content);
    evil[3] = 0x58;
    registry.corruptBlob(descriptor.digest, evil);
    const received: Uint8Array[] = [];
    await expect(
      (async () => {
        for await (const chunk of client.openBlob(reference, descriptor)) received.push(chunk);
      })(),
    ).rejects.toThrow(code('DIGEST_MISMATCH'));
    expect(Buffer.concat(received).byteLength).toBeLessThan(content.byteLength);
  });

  test.each([
    ['longer', Buffer.concat([content, content])],
    ['shorter', content.subarray(0, 10)],
  ])('refuses a blob %s than its descriptor (attack row 20)', async (_name, bytes) => {
    const { registry, reference } = await registryWith();
    const client = new RegistryClient(impatient);
    await client.pushBlob(reference, blobOf(content, descriptor));
    registry.corruptBlob(descriptor.digest, bytes);
    await expect(readBlob(client, reference, descriptor)).rejects.toThrow(code('SIZE_MISMATCH'));
  });

  test('refuses a manifest that is not the one asked for by digest', async () => {
    const { reference } = await registryWith({
      intercept: (request, response) => {
        if (request.url?.includes('/manifests/sha256:') !== true) return false;
        response.setHeader('docker-content-digest', request.url.split('/').at(-1) ?? '');
        response.setHeader('content-type', MediaType.ociManifest);
        response.end(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] }));
        return true;
      },
    });
    const wanted = { ...reference, tag: undefined, digest: digestOf('something else') };
    await expect(new RegistryClient(impatient).fetchManifest(wanted)).rejects.toThrow(
      code('DIGEST_MISMATCH'),
    );
  });

  test('resumes a blob whose connection is cut, each byte fetched once', async () => {
    const large = Buffer.alloc(300_000, 'imagevet ');
    const big = { ...descriptor, digest: digestOf(large), size: large.byteLength };
    let served = 0;
    const { registry, reference } = await registryWith({
      intercept: (request, response) => {
        if (request.method !== 'GET' || request.url?.includes(`blobs/${big.digest}`) !== true) return false;
        const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        const part = large.subarray(start, Math.min(start + 100_000, large.byteLength));
        served += part.byteLength;
        response.writeHead(start === 0 ? 200 : 206, {
          'content-length': String(large.byteLength - start),
          ...(start === 0
            ? {}
            : { 'content-range': `bytes ${start}-${large.byteLength - 1}/${large.byteLength}` }),
        });
        response.write(part, () =>
          start + part.byteLength < large.byteLength ? response.destroy() : response.end(),
        );
        return true;
      },
    });
    const client = new RegistryClient(impatient);
    expect(await readBlob(client, reference, big)).toEqual(large);
    expect(served).toBe(large.byteLength);
    expect(registry.requests.length).toBe(3);
  });

  test('shows Basic credentials to the registry they are for', async () => {
    const { registry, reference } = await registryWith({ basic: { username: 'u', password: 'p' } });
    const client = new RegistryClient({
      ...impatient,
      keychain: staticKeychain({ [registry.host]: { kind: 'basic', username: 'u', password: 'p' } }),
    });
    await pushTestImage(client, reference, { layers: [] });
    await expect(client.resolve(reference)).resolves.toBeDefined();
    await expect(new RegistryClient(impatient).resolve(reference)).rejects.toThrow(code('AUTH_REQUIRED'));
  });

  test('fetches a token once for many requests of a scope', async () => {
    let tokens = 0;
    let realm = '';
    const { registry, reference } = await registryWith({
      intercept: (request, response) => {
        if (request.url?.startsWith('/token') === true) {
          tokens += 1;
          expect(new URL(request.url, realm).searchParams.get('scope')).toBe('repository:team/app:pull');
          response.end(JSON.stringify({ token: 'secret', expires_in: 300 }));
          return true;
        }
        if (request.headers.authorization === 'Bearer secret') return false;
        response.setHeader('www-authenticate', `Bearer realm="${realm}/token",service="test"`);
        response.writeHead(401).end();
        return true;
      },
    });
    realm = registry.url;
    const client = new RegistryClient(impatient);
    const attempts = [1, 2, 3].map(() =>
      client.resolve(reference).catch((error: { code: string }) => error.code),
    );
    expect(await Promise.all(attempts)).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND']);
    expect(tokens).toBe(1);
  });

  test('never shows credentials to another host: redirect and realm (S1, S3, attack row 22)', async () => {
    const seen: (string | undefined)[] = [];
    const thief = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end(JSON.stringify({ token: 't' }));
    });
    await new Promise<void>((resolve) => thief.listen(0, '127.0.0.1', resolve));
    started.push({ close: async () => void thief.close() });
    const evil = `http://localhost:${(thief.address() as AddressInfo).port}`;
    let challenge = '';
    const { registry, reference } = await registryWith({
      intercept: (request, response) => {
        if (request.url?.includes('blobs/') === true) {
          response.writeHead(307, { location: `${evil}/blob` }).end();
          return true;
        }
        if (challenge === '') return false;
        response.writeHead(401, { 'www-authenticate': challenge }).end();
        return true;
      },
    });
    const credentials = { kind: 'basic', username: 'u', password: 'p' } as const;
    const client = new RegistryClient({
      ...impatient,
      keychain: staticKeychain({ [registry.host]: credentials }),
    });
    await expect(readBlob(client, reference, descriptor)).rejects.toThrow(code('SIZE_MISMATCH'));
    challenge = `Bearer realm="${evil}/token",service="x"`;
    await expect(client.resolve(reference)).rejects.toThrow(code('AUTH_REQUIRED'));
    expect(seen.length).toBeGreaterThanOrEqual(2);
    expect(seen.every((authorization) => authorization === undefined)).toBe(true);
  });

  test.each(['file:///etc/passwd', 'ftp://x/', 'http://user:pass@127.0.0.1/', 'nonsense'])(
    'refuses the realm %s',
    async (realm) => {
      const { reference } = await registryWith({
        intercept: (_request, response) => {
          response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
          return true;
        },
      });
      await expect(new RegistryClient(impatient).resolve(reference)).rejects.toThrow(code('EGRESS_REFUSED'));
    },
  );

  test('waits and tries again after 429 and 5xx, then says so (attack row 23)', async () => {
    let failures = 2;
    const { registry, reference } = await registryWith({
      intercept: (request, response) => {
        if (request.method === 'PUT' || failures-- <= 0) return false;
        response.writeHead(failures === 1 ? 429 : 503, failures === 1 ? { 'retry-after': '0' } : {}).end();
        return true;
      },
    });
    const client = new RegistryClient(impatient);
    await expect(client.fetchManifest(reference)).rejects.toThrow(code('NOT_FOUND'));
    expect(registry.requests).toHaveLength(3);
    failures = 100;
    await expect(client.fetchManifest(reference)).rejects.toThrow(code('UNREACHABLE'));
  });

  test('says UNREACHABLE when nobody listens, and rejects with the reason when aborted', async () => {
    const client = new RegistryClient(impatient);
    await expect(client.resolve(parseReference('127.0.0.1:1/x:1'))).rejects.toThrow(code('UNREACHABLE'));
    const { reference } = await registryWith({ intercept: () => new Promise(() => {}) });
    const reason = new Error('changed my mind');
    const waiting = client.fetchManifest(reference, { signal: AbortSignal.abort(reason) });
    await expect(waiting).rejects.toBe(reason);
    const controller = new AbortController();
    const hanging = client.fetchManifest(reference, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(hanging).rejects.toBe(reason);
  });

  test('keeps a query and credentials out of messages (S17)', async () => {
    const { reference } = await registryWith({
      intercept: (_request, response) => {
        response.writeHead(307, { location: '/elsewhere?X-Signature=secret' }).end();
        return true;
      },
    });
    const failure = await new RegistryClient(impatient)
      .fetchManifest(reference)
      .catch((error: Error) => error);
    expect(JSON.stringify(failure)).not.toContain('secret');
    expect(String(failure)).not.toContain('secret');
  });
});
