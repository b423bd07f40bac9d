import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { available, startDockerRegistry } from '../../../../test/services.ts';
import { writeDockerArchive } from '../archive/write-docker-archive.ts';
import { copyImage } from '../content/copy.ts';
import { resolveImage } from '../content/image.ts';
import { blobOf } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { scanLayer } from '../layer/scan-layer.ts';
import { openOciLayout } from '../layout/oci-layout.ts';
import { parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { makeTar } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { parseManifest } from './manifest.ts';
import { MediaType } from './media-types.ts';
import { describeSchema1 } from './schema1.ts';

const directory = mkdtempSync(join(tmpdir(), 'imagevet-schema1-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const tars = [
  await makeTar([{ path: 'base', content: 'base' }]),
  await makeTar([{ path: 'app', content: 'app' }]),
];
const layers = tars.map((tar) => gzipSync(tar));
const [base, app] = layers.map((layer) => digestOf(layer));
const empty = gzipSync(Buffer.alloc(1024));
const document = {
  schemaVersion: 1,
  name: 'old/app',
  tag: '1',
  architecture: 'amd64',
  fsLayers: [{ blobSum: app }, { blobSum: digestOf(empty) }, { blobSum: base }],
  history: [
    {
      id: 'c',
      parent: 'b',
      created: '2015-03-01T00:00:00Z',
      os: 'linux',
      config: { Env: ['A=1'], Cmd: ['/app'] },
      container_config: { Cmd: ['/bin/sh', '-c', '#(nop) COPY app /'] },
    },
    { id: 'b', parent: 'a', throwaway: true, container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ENV A=1'] } },
    { id: 'a', created: '2015-01-01T00:00:00Z', author: 'somebody', container_config: { Cmd: ['add base'] } },
  ].map((entry) => ({ v1Compatibility: JSON.stringify(entry) })),
};

const payload = JSON.stringify(document, undefined, 3);
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** Signs as docker did: the signatures stand before the last brace. */
function signed(text: string, change: { key?: KeyObject; length?: number; tail?: string } = {}): Buffer {
  const length = change.length ?? text.lastIndexOf('\n}');
  const tail = change.tail ?? text.slice(length);
  const encode = (value: string) => Buffer.from(value).toString('base64url');
  const time = '2015-03-01T00:00:00Z';
  const head = encode(JSON.stringify({ formatLength: length, formatTail: encode(tail), time }));
  const signature = sign('sha256', Buffer.from(`${head}.${encode(text)}`), {
    key: change.key ?? privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const signatures = [
    {
      header: { jwk: publicKey.export({ format: 'jwk' }), alg: 'ES256' },
      signature: signature.toString('base64url'),
      protected: head,
    },
  ];
  return Buffer.from(`${text.slice(0, length)},\n   "signatures": ${JSON.stringify(signatures)}${tail}`);
}

const parse = (bytes: Uint8Array | string, contentType: string = MediaType.dockerSchema1Signed) =>
  parseManifest(Buffer.from(bytes), { contentType });
const codeOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return (error as RegistryError).code;
  }
  return undefined;
};

describe('parseManifest() of schema 1', () => {
  test('knows a signed manifest by the digest of what was signed', () => {
    const bytes = signed(payload);
    const found = parse(bytes);
    expect(found).toMatchObject({ kind: 'schema1', schema1: document, bytes });
    expect(found.descriptor).toEqual({
      mediaType: MediaType.dockerSchema1Signed,
      digest: digestOf(payload),
      size: bytes.byteLength,
    });
    const again = signed(payload);
    expect(again.equals(bytes)).toBe(false);
    expect(parse(again).descriptor.digest).toBe(found.descriptor.digest);
  });

  test('knows an unsigned one by its bytes, and both without a content type', () => {
    const unsigned = parse(payload, MediaType.dockerSchema1);
    expect(unsigned.descriptor).toMatchObject({
      digest: digestOf(payload),
      mediaType: MediaType.dockerSchema1,
    });
    expect(parse(payload, 'application/json').descriptor.mediaType).toBe(MediaType.dockerSchema1);
    expect(parse(signed(payload), 'application/json').descriptor.mediaType).toBe(
      MediaType.dockerSchema1Signed,
    );
  });

  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const bytes = signed(payload).toString();
  test.each([
    ['INVALID_MANIFEST', 'a signature by another key', signed(payload, { key: other })],
    ['INVALID_MANIFEST', 'altered content', bytes.replace('old/app', 'new/app')],
    ['INVALID_MANIFEST', 'no signature', payload],
    ['INVALID_MANIFEST', 'an empty list of signatures', payload.replace(/\n}$/, ',"signatures":[]}')],
    ['INVALID_MANIFEST', 'an unknown algorithm', bytes.replace('ES256', 'none')],
    ['INVALID_MANIFEST', 'a key of another kind', bytes.replace('ES256', 'RS256')],
    ['INVALID_MANIFEST', 'no key', bytes.replace('"jwk"', '"jwt"')],
    ['INVALID_MANIFEST', 'a length beyond it', signed(payload, { length: 100_000, tail: '' })],
    ['AMBIGUOUS_MANIFEST', 'a member that was not signed', bytes.replace(/\n}$/, ',"more":1\n}')],
    ['AMBIGUOUS_MANIFEST', 'layers that were not signed', bytes.replace(/\n}$/, ',"fsLayers":[]\n}')],
  ])('refuses with %s %s', (code, _what, altered) => {
    expect(codeOf(() => parse(altered as string))).toBe(code);
  });

  test.each([
    ['INVALID_MANIFEST', { schemaVersion: 2 }],
    ['INVALID_MANIFEST', { history: [] }],
    ['INVALID_MANIFEST', { fsLayers: [], history: [] }],
    ['INVALID_MANIFEST', { history: [1, 2, 3] }],
    ['INVALID_MANIFEST', { name: undefined }],
    ['INVALID_DIGEST', { fsLayers: [{ blobSum: 'x' }, {}, {}] }],
    ['AMBIGUOUS_MANIFEST', { layers: [] }],
    ['AMBIGUOUS_MANIFEST', { config: {} }],
    ['AMBIGUOUS_MANIFEST', { FsLayers: [] }],
    [
      'LIMIT_EXCEEDED',
      { fsLayers: Array(1025).fill({ blobSum: base }), history: Array(1025).fill(document.history[0]) },
    ],
  ])('refuses with %s %#', (code, change) => {
    const text = JSON.stringify({ ...document, ...change }, undefined, 3);
    expect(codeOf(() => parse(text, MediaType.dockerSchema1))).toBe(code);
    expect(codeOf(() => parse(signed(text)))).toBe(code);
  });

  test('throws only its own errors, and never gives unsigned content, whatever the bytes', () => {
    const broken = fc
      .tuple(fc.nat(bytes.length), fc.string({ maxLength: 4 }), fc.nat(4))
      .map(([at, text, cut]) => bytes.slice(0, at) + text + bytes.slice(at + cut));
    fc.assert(
      fc.property(broken, (text) => {
        try {
          const found = parse(text);
          expect(found.kind === 'schema1' ? found.schema1 : undefined).toEqual(document);
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('describeSchema1()', () => {
  test('tells layers and history base first', () => {
    const found = parse(signed(payload));
    expect(found.kind === 'schema1' && describeSchema1(found)).toEqual({
      ...{ name: 'old/app', tag: '1', os: 'linux', architecture: 'amd64' },
      created: '2015-03-01T00:00:00Z',
      layers: [base, app],
      history: [
        { created: '2015-01-01T00:00:00Z', author: 'somebody', created_by: 'add base' },
        { created_by: '/bin/sh -c #(nop) ENV A=1', empty_layer: true },
        { created: '2015-03-01T00:00:00Z', created_by: '/bin/sh -c #(nop) COPY app /' },
      ],
      execution: { Env: ['A=1'], Cmd: ['/app'] },
    });
  });

  test('refuses a history that is no JSON', () => {
    const history = document.history.map(() => ({ v1Compatibility: '{' }));
    const found = parse(JSON.stringify({ ...document, history }), MediaType.dockerSchema1);
    expect(codeOf(() => found.kind === 'schema1' && describeSchema1(found))).toBe('INVALID_MANIFEST');
  });
});

/** Pushes the image, and reads, tags and copies it; the registry has its own opinion of digest and signature. */
async function meet(host: string): Promise<void> {
  await using client = new RegistryClient();
  const reference = parseReference(`${host}/old/app:1`);
  for (const layer of [...layers, empty]) {
    const descriptor = {
      mediaType: MediaType.dockerLayerGzip,
      digest: digestOf(layer),
      size: layer.byteLength,
    };
    await client.pushBlob(reference, blobOf(layer, descriptor));
  }
  const bytes = signed(payload);
  const mediaType = MediaType.dockerSchema1Signed;
  const pushed = await client.pushManifest(reference, { bytes, mediaType });
  expect(pushed.digest).toBe(digestOf(payload));
  expect((await client.resolve(reference)).digest).toBe(pushed.digest);
  const found = await client.fetchManifest({ ...reference, digest: pushed.digest });
  expect(found.descriptor.digest).toBe(pushed.digest);
  if (found.kind !== 'schema1') throw new Error('it is of schema 1');
  const [lowest] = describeSchema1(found).layers;
  const descriptor = await client.resolveBlob(reference, lowest!);
  expect((await scanLayer(client.openBlob(reference, descriptor))).diffId).toBe(digestOf(tars[0]!));
  await client.tag(reference, 'again');
  expect((await client.resolve({ ...reference, tag: 'again' })).digest).toBe(pushed.digest);
  await expect(resolveImage(reference, { source: client })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
}

describe('RegistryClient on schema 1', () => {
  test('pushes, reads, tags and copies it', async () => {
    await using registry = await startRegistry();
    await meet(registry.host);
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/old/app:1`);
    const target = parseReference(`${registry.host}/copied/app:2`);
    const report = await copyImage(reference, target, { source: client, destination: client });
    expect(report).toMatchObject({ manifest: { digest: digestOf(payload) }, blobs: { mounted: 3 } });
    expect((await client.fetchManifest(target)).kind).toBe('schema1');
    const destination = await openOciLayout(directory, { create: true });
    const refused = [
      () => copyImage(reference, target, { source: client, destination }),
      () => writeDockerArchive([{ source: client, reference }], join(directory, 'a.tar')),
      () =>
        copyImage(reference, parseReference(`${registry.host}/other:1`), {
          source: {
            resolve: (name) => client.resolve(name),
            fetchManifest: (name) => client.fetchManifest(name),
            openBlob: (repository, descriptor) => client.openBlob(repository, descriptor),
          },
          destination: client,
        }),
    ];
    for (const work of refused) await expect(work()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test.skipIf(!available('docker-registry'))(
    'agrees with docker-registry on digest and signature',
    async () => {
      const registry = await startDockerRegistry({ schema1: true });
      try {
        await meet(registry.host);
      } finally {
        await registry.close();
      }
    },
  );
});
