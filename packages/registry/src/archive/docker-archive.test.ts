import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveImage } from '../content/image.ts';
import { readBlob } from '../content/read.ts';
import { digestHex, digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseReference } from '../reference.ts';
import { makeTar, type TestFile } from '../testing/image.ts';
import { openDockerArchive } from './docker-archive.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-archive-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
async function archive(files: readonly TestFile[]): Promise<string> {
  count += 1;
  const path = join(directory, `${count}.tar`);
  writeFileSync(path, await makeTar(files));
  return path;
}

const layer = await makeTar([{ path: 'a', content: 'a' }]);
const config = JSON.stringify({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [digestOf(layer), digestOf(layer)] },
});
const list = (entry: object = {}) =>
  JSON.stringify([
    { Config: 'config.json', RepoTags: ['corp/app:1'], Layers: ['1/layer.tar', '2/layer.tar'], ...entry },
  ]);
const whole: readonly TestFile[] = [
  { path: '1/layer.tar', content: layer },
  // docker save writes a layer once and links to it.
  { path: '2/layer.tar', type: 'symlink', linkTarget: '../1/layer.tar' },
  { path: 'config.json', content: config },
  { path: 'manifest.json', content: list() },
];
const name = parseReference('corp/app:1');

describe('openDockerArchive()', () => {
  test('finds images by name and layers through links', async () => {
    const source = await openDockerArchive(await archive(whole));
    const image = await resolveImage(name, { source });
    expect(image.config.digest).toBe(digestOf(config));
    expect(source.images).toEqual([{ names: [name], manifest: image.manifest }]);
    for (const descriptor of image.layers)
      expect(await readBlob(source, name, descriptor)).toEqual(Buffer.from(layer));
  });

  test('takes a compressed layer for what it is', async () => {
    const packed = gzipSync(layer);
    const files = whole.map((file) => (file.path === '1/layer.tar' ? { ...file, content: packed } : file));
    const image = await resolveImage(name, { source: await openDockerArchive(await archive(files)) });
    expect(image.layers[0]).toMatchObject({
      digest: digestOf(packed),
      mediaType: expect.stringContaining('gzip'),
    });
  });

  test.each([
    ['a layer that is not its diffID', 'DIGEST_MISMATCH', { path: '1/layer.tar', content: 'other' }],
    [
      'a missing layer',
      'INVALID_LAYER',
      { path: '2/layer.tar', type: 'symlink', linkTarget: '../../../etc/passwd' },
    ],
    ['a link to itself', 'INVALID_LAYER', { path: '2/layer.tar', type: 'symlink', linkTarget: 'layer.tar' }],
    ['a list that is none', 'INVALID_MANIFEST', { path: 'manifest.json', content: '{}' }],
    ['a list that is no JSON', 'INVALID_MANIFEST', { path: 'manifest.json', content: '{' }],
    [
      'fewer layers than diffIDs',
      'INVALID_MANIFEST',
      { path: 'manifest.json', content: list({ Layers: [] }) },
    ],
    [
      'a config outside',
      'INVALID_LAYER',
      { path: 'manifest.json', content: list({ Config: '/etc/passwd' }) },
    ],
    ['a config that is none', 'INVALID_CONFIG', { path: 'config.json', content: '{}' }],
  ] as const)('refuses %s with %s', async (_what, code, changed) => {
    const files = whole.map((file) => (file.path === changed.path ? changed : file));
    await expect(openDockerArchive(await archive(files))).rejects.toMatchObject({ code });
  });

  describe('of an archive that is an OCI layout too', () => {
    const packed = gzipSync(layer);
    const blob = (content: string | Uint8Array) => ({
      path: `blobs/sha256/${digestHex(digestOf(content))}`,
      content,
    });
    const describe = (mediaType: string, content: string | Uint8Array) => ({
      mediaType,
      digest: digestOf(content),
      size: Buffer.byteLength(content),
    });
    const manifestOf = (layers: readonly Uint8Array[], of = config) =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MediaType.ociManifest,
        config: describe(MediaType.ociConfig, of),
        layers: layers.map((content) => describe(MediaType.ociLayerGzip, content)),
      });
    const index = (manifest: string, text?: string) => ({
      path: 'index.json',
      content: JSON.stringify({
        schemaVersion: 2,
        manifests: [
          {
            ...describe(MediaType.ociManifest, manifest),
            ...(text === undefined ? {} : { annotations: { 'io.containerd.image.name': text } }),
          },
        ],
      }),
    });
    const entry = (layers: readonly Uint8Array[], more: object = {}) => ({
      path: 'manifest.json',
      content: JSON.stringify([
        {
          ...{ Config: blob(config).path, RepoTags: ['corp/app:1'] },
          Layers: layers.map((content) => blob(content).path),
          ...more,
        },
      ]),
    });
    const manifest = manifestOf([packed, packed]);
    const blobs = [blob(packed), blob(config), blob(manifest)];
    const full = 'docker.io/corp/app:1';

    test.each([
      ['compressed layers, each where the manifest says', [packed, packed], [...blobs]],
      ['uncompressed layers beside them', [layer, packed], [...blobs, blob(layer)]],
    ])('keeps the manifest, with %s', async (_what, layers, files) => {
      const source = await openDockerArchive(await archive([...files, index(manifest, full), entry(layers)]));
      const image = await resolveImage(name, { source });
      expect(image.manifest.digest).toBe(digestOf(manifest));
      expect(source.images).toEqual([{ names: [name], manifest: image.manifest }]);
      expect(await readBlob(source, name, image.layers[0]!)).toEqual(packed);
    });

    test('does without manifest.json', async () => {
      const source = await openDockerArchive(await archive([...blobs, index(manifest, full)]));
      expect((await resolveImage(name, { source })).manifest.digest).toBe(digestOf(manifest));
      const unnamed = await openDockerArchive(await archive([...blobs, index(manifest)]));
      expect(unnamed.images).toEqual([{ names: [], manifest: describe(MediaType.ociManifest, manifest) }]);
    });

    const other = JSON.stringify({ ...JSON.parse(config), author: 'other' });
    const otherManifest = manifestOf([packed, packed], other);
    const otherLayer = gzipSync('other');
    test.each([
      [
        'a name that means another image there',
        [blob(other), blob(otherManifest), index(otherManifest, full), entry([packed, packed])],
      ],
      [
        'a layer that is another one there',
        [blob(otherLayer), index(manifest, full), entry([packed, otherLayer])],
      ],
      [
        'one name for two images here',
        [
          index(manifest),
          {
            path: 'manifest.json',
            content: JSON.stringify(
              [1, 2].map(() => ({
                ...{ Config: blob(config).path, RepoTags: ['corp/app:1'] },
                Layers: [blob(packed).path, blob(packed).path],
              })),
            ),
          },
        ],
      ],
    ])('refuses %s', async (_what, files) => {
      const opened = openDockerArchive(await archive([...blobs, ...files]));
      await expect(opened).rejects.toMatchObject({ code: 'AMBIGUOUS_MANIFEST' });
    });

    test('refuses a manifest that is not its digest', async () => {
      const files = [blob(config), { ...blob(manifest), content: `${manifest} ` }, index(manifest, full)];
      await expect(openDockerArchive(await archive(files))).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      });
    });
  });

  test.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])('inflates an archive in %s until it is closed', async (_what, compress) => {
    const path = `${await archive(whole)}.packed`;
    writeFileSync(path, compress(readFileSync(path.slice(0, -'.packed'.length))));
    const temporaryDirectory = mkdtempSync(join(directory, 'temporary-'));
    const source = await openDockerArchive(path, { temporaryDirectory });
    expect(readdirSync(temporaryDirectory)).toHaveLength(1);
    const image = await resolveImage(name, { source });
    expect(await readBlob(source, name, image.layers[0]!)).toEqual(Buffer.from(layer));
    await source.close();
    writeFileSync(path, compress('noise'.repeat(1000)));
    await expect(openDockerArchive(path, { temporaryDirectory })).rejects.toMatchObject({
      code: 'INVALID_LAYER',
    });
    writeFileSync(path, compress('noise'.repeat(1000)).subarray(0, 12));
    await expect(openDockerArchive(path, { temporaryDirectory })).rejects.toMatchObject({
      code: 'INVALID_LAYER',
    });
    expect(readdirSync(temporaryDirectory)).toEqual([]);
  });

  test('throws only its own errors, whatever the tables of contents say', async () => {
    const index = {
      ...{ schemaVersion: 2, mediaType: MediaType.ociIndex },
      manifests: [
        {
          ...{ mediaType: MediaType.ociManifest, digest: digestOf(config), size: config.length },
          annotations: { 'io.containerd.image.name': 'docker.io/corp/app:1' },
        },
      ],
    };
    const broken = (text: string) =>
      fc
        .tuple(fc.nat(text.length), fc.constantFrom('', '"', '[]', '{}', ',', '0', 'null', '/'), fc.nat(6))
        .map(([at, put, cut]) => text.slice(0, at) + put + text.slice(at + cut));
    const json = fc.json({ maxDepth: 3 });
    const tables = fc.tuple(
      fc.option(fc.oneof(broken(list()), json)),
      fc.option(fc.oneof(broken(JSON.stringify(index)), json)),
    );
    await fc.assert(
      fc.asyncProperty(tables, async ([entries, roots]) => {
        const files = [
          ...whole.slice(0, 3),
          ...(entries === null ? [] : [{ path: 'manifest.json', content: entries }]),
          ...(roots === null ? [] : [{ path: 'index.json', content: roots }]),
        ];
        const path = await archive(files);
        try {
          const { images } = await openDockerArchive(path);
          expect(Array.isArray(images)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
        } finally {
          rmSync(path);
        }
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['the list', { path: 'manifest.json', content: list() }],
    ['a layer in another spelling', { path: './1/layer.tar', content: 'other' }],
    ['a layer as a link', { path: '1/layer.tar', type: 'symlink', linkTarget: 'other' }],
  ] as const)('refuses %s twice: skopeo reads the first, docker the last', async (_what, file) => {
    const opened = openDockerArchive(await archive([...whole, file]));
    await expect(opened).rejects.toMatchObject({ code: 'AMBIGUOUS_MANIFEST' });
  });

  test('refuses what is no tar', async () => {
    const path = join(directory, 'noise');
    writeFileSync(path, 'noise '.repeat(1000));
    await expect(openDockerArchive(path)).rejects.toMatchObject({ code: 'INVALID_LAYER' });
  });
});
