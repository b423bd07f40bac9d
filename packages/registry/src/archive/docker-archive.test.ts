import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveImage } from '../content/image.ts';
import { readBlob } from '../content/read.ts';
import { digestOf } from '../digest.ts';
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

  test('refuses what is no tar', async () => {
    const path = join(directory, 'noise');
    writeFileSync(path, 'noise '.repeat(1000));
    await expect(openDockerArchive(path)).rejects.toMatchObject({ code: 'INVALID_LAYER' });
  });
});
