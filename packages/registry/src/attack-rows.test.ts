// Rows of the attack matrix and the threat table that no other file holds; `grep -r 'row 14'` finds all of a row.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { staticKeychain } from './auth/keychain.ts';
import { resolveImage } from './content/image.ts';
import { readBlob } from './content/read.ts';
import { digestOf } from './digest.ts';
import { isInternalAddress } from './http/egress.ts';
import { scanImage } from './layer/scan-image.ts';
import { scanLayer } from './layer/scan-layer.ts';
import { MediaType } from './oci/media-types.ts';
import { parseReference } from './reference.ts';
import { RegistryClient, type RegistryClientOptions } from './remote/client.ts';
import { collect } from './testing/collect.ts';
import { pushTestImage } from './testing/image.ts';
import { startRegistry } from './testing/registry.ts';

const FILES = [[{ path: 'a', content: 'a' }]];

/** A client that gives up soon. */
function impatient(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient({ baseDelayMs: 1, ...options });
}

/** A registry that answers every manifest with the same bytes, whatever was asked. */
function parrot(bytes: () => Uint8Array, contentType: string) {
  return startRegistry({
    intercept: ({ url = '' }, response) => {
      if (!url.includes('/manifests/')) return false;
      response.writeHead(200, { 'content-type': contentType }).end(bytes());
      return true;
    },
  });
}

test('S2: a public-looking name that leads into the network is refused when the connection is made', async () => {
  let connections = 0;
  const victim = createServer((_request, response) => response.end()).on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => victim.listen(0, 'localhost', resolve));
  const { port } = victim.address() as AddressInfo;
  // The registry is public here; `localhost` is judged by what it resolves to, as any name is.
  const guarded = (address: string) => address !== '127.0.0.2' && isInternalAddress(address);
  for (const location of [
    `http://localhost:${port}/x`,
    `http://[::ffff:127.0.0.1]:${port}/x`,
    'http://169.254.169.254/x',
  ]) {
    await using registry = await startRegistry({
      address: '127.0.0.2',
      intercept: ({ url = '' }, response) => {
        if (!url.includes('/manifests/')) return false;
        response.writeHead(307, { location }).end();
        return true;
      },
    });
    await using client = impatient({ isInternalAddress: guarded });
    await expect(client.fetchManifest(parseReference(`${registry.host}/app:1`))).rejects.toMatchObject({
      code: 'EGRESS_REFUSED',
    });
  }
  expect(connections).toBe(0);
  await new Promise((resolve) => victim.close(resolve));
});

test('S2: a name that passed a check and then leads into the network is refused when the connection is made', async () => {
  let connections = 0;
  const victim = createServer((_request, response) => response.end()).on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => victim.listen(0, 'localhost', resolve));
  const { port } = victim.address() as AddressInfo;
  await using registry = await startRegistry({
    address: '127.0.0.2',
    intercept: (_request, response) => {
      response.writeHead(307, { location: `http://localhost:${port}/x` }).end();
      return true;
    },
  });
  // As a name server would that answers the check with a public address, and the connection with another.
  let asked = 0;
  const rebinding = (address: string) => {
    if (address === '127.0.0.2') return false;
    asked += 1;
    return asked > 1;
  };
  await using client = impatient({ isInternalAddress: rebinding });
  await expect(client.fetchManifest(parseReference(`${registry.host}/app:1`))).rejects.toMatchObject({
    code: 'EGRESS_REFUSED',
  });
  expect(asked).toBeGreaterThan(1);
  expect(connections).toBe(0);
  await new Promise((resolve) => victim.close(resolve));
});

test('S9, row 17: a document that is index and image at once is refused over the wire, under either name', async () => {
  const descriptor = { mediaType: MediaType.ociLayerGzip, digest: digestOf('x'), size: 1 };
  const both = { schemaVersion: 2, config: descriptor, layers: [descriptor], manifests: [descriptor] };
  for (const mediaType of [MediaType.ociManifest, MediaType.ociIndex]) {
    const bytes = Buffer.from(JSON.stringify({ ...both, mediaType }));
    await using registry = await parrot(() => bytes, mediaType);
    await using client = impatient();
    for (const named of ['app:1', `app@${digestOf(bytes)}`]) {
      await expect(client.fetchManifest(parseReference(`${registry.host}/${named}`))).rejects.toMatchObject({
        code: 'AMBIGUOUS_MANIFEST',
      });
    }
  }
});

test('row 14: layers of an image resolved before its tag moved are those of then', async () => {
  await using registry = await startRegistry();
  await using client = impatient();
  const reference = parseReference(`${registry.host}/app:1`);
  await pushTestImage(client, reference, { layers: [[{ path: 'before' }]] });
  const resolved = await resolveImage(reference, { source: client });
  await pushTestImage(client, reference, { layers: [[{ path: 'after' }]] });
  const { filesystem } = await scanImage(resolved, { source: client });
  expect(filesystem.list('/').map(({ path }) => path)).toEqual(['/before']);
});

test('row 14: a registry that answers a digest with what the tag is now is refused', async () => {
  let bytes = Buffer.from('{}');
  await using registry = await parrot(() => bytes, MediaType.ociManifest);
  await using client = impatient();
  const descriptor = { mediaType: MediaType.ociConfig, digest: digestOf('x'), size: 1 };
  const document = { schemaVersion: 2, mediaType: MediaType.ociManifest, config: descriptor, layers: [] };
  bytes = Buffer.from(JSON.stringify(document));
  const reference = parseReference(`${registry.host}/app:1`);
  const { digest } = await client.resolve(reference);
  expect(digest).toBe(digestOf(bytes));
  bytes = Buffer.from(JSON.stringify({ ...document, annotations: { moved: 'yes' } }));
  await expect(client.fetchManifest({ ...reference, digest })).rejects.toMatchObject({
    code: 'DIGEST_MISMATCH',
  });
});

test('row 15: what a registry shows one client and not another has another digest, and neither is taken for the other', async () => {
  await using honest = await startRegistry();
  await using writer = impatient();
  const mine = await pushTestImage(writer, parseReference(`${honest.host}/app:mine`), { layers: FILES });
  const yours = await pushTestImage(writer, parseReference(`${honest.host}/app:yours`), {
    layers: [[{ path: 'a', content: 'other' }]],
  });
  const basic = (username: string) => ({ kind: 'basic', username, password: 'x' }) as const;
  await using registry = await startRegistry({
    intercept: async ({ url = '', headers }, response) => {
      if (headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      }
      const insider = headers.authorization === `Basic ${Buffer.from('insider:x').toString('base64')}`;
      const path = url.replace(/\/manifests\/1$/, insider ? '/manifests/yours' : '/manifests/mine');
      const answer = await fetch(`${honest.url}${path}`, { headers: { accept: headers.accept ?? '*/*' } });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
      response.end(Buffer.from(await answer.arrayBuffer()));
      return true;
    },
  });
  await using outsider = impatient({ keychain: staticKeychain({ [registry.host]: basic('outsider') }) });
  await using insider = impatient({ keychain: staticKeychain({ [registry.host]: basic('insider') }) });
  const reference = parseReference(`${registry.host}/app:1`);
  const seen = await resolveImage(reference, { source: outsider });
  const shown = await resolveImage(reference, { source: insider });
  expect([seen.manifest, shown.manifest]).toEqual([mine.manifest, yours.manifest]);
  // By digest there is nothing left to lie about: who has one gets exactly that, whoever asks.
  const pinned = { ...reference, digest: seen.manifest.digest };
  expect((await insider.fetchManifest(pinned)).bytes).toEqual((await outsider.fetchManifest(pinned)).bytes);
});

test('row 18: an index that names itself, or 100,000 children, ends in an error', async () => {
  let bytes = Buffer.alloc(0);
  await using registry = await parrot(() => bytes, MediaType.ociIndex);
  await using client = impatient();
  const platform = { os: 'linux', architecture: 'amd64' };
  const child = { mediaType: MediaType.ociIndex, digest: digestOf('itself'), size: 1, platform };
  const index = { schemaVersion: 2, mediaType: MediaType.ociIndex };
  const resolving = () => resolveImage(parseReference(`${registry.host}/app:1`), { source: client });
  bytes = Buffer.from(JSON.stringify({ ...index, manifests: [child] }));
  await expect(resolving()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  bytes = Buffer.from(JSON.stringify({ ...index, manifests: Array.from({ length: 100_000 }, () => child) }));
  await expect(resolving()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  bytes = Buffer.from(JSON.stringify({ ...index, manifests: Array.from({ length: 2000 }, () => child) }));
  await expect(resolving()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
});

test('row 20, S11: a bomb is refused early, without reading the rest', async () => {
  // Members of 80 MiB of zeros, 16 GiB in all.
  const member = gzipSync(Buffer.alloc(80 * 2 ** 20));
  let given = 0;
  async function* members(): AsyncGenerator<Uint8Array> {
    for (; given < 200; given += 1) yield member;
  }
  await expect(scanLayer(members())).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  expect(given).toBeLessThan(50);
});

test.each([
  'sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709',
  'md5:d41d8cd98f00b204e9800998ecf8427e',
  `sha256:${'A'.repeat(64)}`,
  `sha256:${'a'.repeat(63)}`,
  `sha384:${'a'.repeat(96)}`,
  `__proto__:${'a'.repeat(64)}`,
])('row 21: %s is refused before anything is asked', async (digest) => {
  await using registry = await startRegistry();
  await using client = impatient();
  const repository = parseReference(`${registry.host}/app`);
  expect(() => parseReference(`${registry.host}/app@${digest}`)).toThrow(
    expect.objectContaining({ code: 'INVALID_DIGEST' }),
  );
  const descriptor = { mediaType: 'text/plain', digest: digest as never, size: 1 };
  await expect(readBlob(client, repository, descriptor)).rejects.toMatchObject({ code: 'INVALID_DIGEST' });
  await expect(client.fetchManifest({ ...repository, digest: digest as never })).rejects.toMatchObject({
    code: 'INVALID_DIGEST',
  });
  expect(registry.requests).toEqual([]);
});

test('row 21: a name that was not parsed chooses no other path of the registry', async () => {
  await using registry = await startRegistry();
  await using client = impatient();
  const { registry: host } = parseReference(`${registry.host}/app`);
  for (const name of [
    { repository: '../../other', tag: '1' },
    { repository: 'app', tag: '../tags/list' },
    { repository: 'app/', tag: '1' },
    { repository: 'app?x=', tag: '1' },
  ]) {
    await expect(client.fetchManifest({ registry: host, ...name })).rejects.toMatchObject({
      code: 'INVALID_REFERENCE',
    });
  }
  expect(registry.requests).toEqual([]);
});

test('row 25: pages of referrers that hold nothing and never end are refused', async () => {
  let page = 0;
  await using registry = await startRegistry({
    intercept: (_request, response) => {
      page += 1;
      const link = `</v2/app/referrers/x?page=${page}>; rel="next"`;
      response.writeHead(200, { 'content-type': MediaType.ociIndex, link });
      response.end(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] }));
      return true;
    },
  });
  await using client = impatient();
  const listing = collect(client.referrers(parseReference(`${registry.host}/app`), digestOf('subject')));
  await expect(listing).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  expect(page).toBeLessThan(1100);
});
