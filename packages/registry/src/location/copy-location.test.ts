import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../test/services.ts';
import { writeDockerArchive } from '../archive/write-docker-archive.ts';
import { resolveImage } from '../content/image.ts';
import { blobOf } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { scanImage } from '../layer/scan-image.ts';
import { openOciLayout } from '../layout/oci-layout.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import { type ImageReference, parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { collect } from '../testing/collect.ts';
import { makeTar, pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { copyLocation } from './copy-location.ts';
import { openDestination, openSource } from './open-location.ts';

const run = promisify(execFile);
const client = new RegistryClient();
let registry: TestRegistry;
let directory: string;
/** An index of a gzip and a zstd image, with a referrer. */
let name: ImageReference;
let index: Descriptor;
let note: Descriptor;
beforeAll(async () => {
  directory = join(tmpdir(), `imagevet-location-${randomBytes(4).toString('hex')}`);
  mkdirSync(directory);
  registry = await startRegistry();
  name = parseReference(`${registry.host}/corp/app:1`);
  const layers = [[{ path: 'etc/' }, { path: 'etc/motd', content: name.registry }]];
  const amd64 = await pushTestImage(client, { ...name, tag: 'amd64' }, { layers });
  const arm64 = await pushZstd({ ...name, tag: 'arm64' });
  index = await pushTestIndex(client, name, [amd64, arm64]);
  const document = { schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: 'text/note' };
  const bytes = Buffer.from(
    JSON.stringify({ ...document, config: amd64.config, layers: amd64.layers, subject: index }),
  );
  const at = { registry: name.registry, repository: name.repository, digest: digestOf(bytes) };
  note = await client.pushManifest(at, { bytes, mediaType: MediaType.ociManifest });
});
afterAll(async () => {
  await client.close();
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

async function pushZstd(reference: ImageReference) {
  const tar = await makeTar([{ path: 'zstd', content: 'zstd'.repeat(10_000) }]);
  const push = async (bytes: Uint8Array, mediaType: string) => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    await client.pushBlob(reference, blobOf(bytes, descriptor));
    return descriptor;
  };
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] };
  const config = Buffer.from(JSON.stringify({ architecture: 'arm64', os: 'linux', config: {}, rootfs }));
  const document = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: await push(config, MediaType.ociConfig),
    layers: [await push(zstdCompressSync(tar), MediaType.ociLayerZstd)],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  await client.pushManifest(reference, { mediaType: MediaType.ociManifest, bytes });
  return resolveImage(reference, { source: client, platform: { os: 'linux', architecture: 'arm64' } });
}

let count = 0;
const places: Readonly<Record<string, () => string>> = {
  registry: () => `${registry.host}/copy/of-${++count}:1`,
  layout: () => `oci:${directory}/layout-${++count}:1`,
  archive: () => `docker-archive:${directory}/archive-${++count}.tar:corp/app:1`,
};
const pairs = Object.keys(places).flatMap((from) => Object.keys(places).map((to) => [from, to] as const));

describe('copyLocation()', () => {
  test.each(pairs)('goes from %s to %s with all platforms and referrers', async (first, second) => {
    const between = places[first]!();
    const last = places[second]!();
    await copyLocation(`docker://${registry.host}/corp/app:1`, between, { client });
    const report = await copyLocation(between, last, { client });
    expect(report.manifest.digest).toBe(index.digest);
    await using opened = await openSource(last, { client });
    const { source, reference } = opened;
    expect((await source.resolve(reference)).digest).toBe(index.digest);
    expect((await collect(source.referrers!(reference, index.digest))).map(({ digest }) => digest)).toEqual([
      note.digest,
    ]);
    for (const architecture of ['amd64', 'arm64']) {
      const image = await resolveImage(reference, { source, platform: { os: 'linux', architecture } });
      await scanImage(image, { source });
    }
  });

  test('copies one platform when told to', async () => {
    const to = places.archive!();
    const platform = { os: 'linux', architecture: 'arm64' };
    const report = await copyLocation(`docker://${registry.host}/corp/app:1`, to, { client, platform });
    const image = await resolveImage(name, { source: client, platform });
    expect(report.manifest.digest).toBe(image.manifest.digest);
    await using opened = await openSource(to);
    expect((await opened.source.resolve(opened.reference)).digest).toBe(image.manifest.digest);
  });

  test('leaves the archive that was there, and nothing else, when it fails', async () => {
    const folder = join(directory, 'failing');
    mkdirSync(folder);
    writeFileSync(join(folder, 'a.tar'), 'before');
    const to = `docker-archive:${folder}/a.tar:corp/app:1`;
    const missing = copyLocation(`${registry.host}/corp/missing:1`, to, { client });
    await expect(missing).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const reason = new Error('enough');
    const controller = new AbortController();
    const stopped = copyLocation(`${registry.host}/corp/app:1`, to, {
      client,
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    await expect(stopped).rejects.toBe(reason);
    await using uncommitted = await openDestination(to);
    expect(uncommitted.reference).toEqual(parseReference('corp/app:1'));
    await uncommitted[Symbol.asyncDispose]();
    expect(readdirSync(folder)).toEqual(['a.tar']);
    expect(readFileSync(join(folder, 'a.tar'), 'utf8')).toBe('before');
  });
});

describe('openSource()', () => {
  test('takes the only image there, and asks when there are more', async () => {
    const layout = join(directory, 'only');
    const source = await openOciLayout(layout, { create: true });
    const image = await pushTestImage(source, parseReference('a:1'), { layers: [] });
    await using only = await openSource(`oci:${layout}`);
    expect((await only.source.resolve(only.reference)).digest).toBe(image.manifest.digest);
    const file = join(directory, 'only.tar');
    await writeDockerArchive([{ source, reference: parseReference('a:1'), names: [] }], file);
    await using unnamed = await openSource(`docker-archive:${file}`);
    expect((await unnamed.source.resolve(unnamed.reference)).digest).toBe(image.manifest.digest);
    await pushTestImage(source, parseReference('a:2'), { layers: [[{ path: 'a', content: '2' }]] });
    await using several = await openSource(`oci:${layout}`);
    await expect(several.source.resolve(several.reference)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const images = ['a:1', 'a:2'].map((text) => ({ source, reference: parseReference(text) }));
    await writeDockerArchive(images, file);
    await expect(openSource(`docker-archive:${file}`)).rejects.toMatchObject({ code: 'INVALID_REFERENCE' });
  });

  test('fails with NOT_FOUND where nothing is', async () => {
    for (const location of ['oci:/nowhere/at/all', 'docker-archive:/nowhere/at/all.tar']) {
      await expect(openSource(location)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });
});

describe('copyLocation() and the others', () => {
  const platform = { os: 'linux', architecture: 'arm64' };
  const skopeo = (...args: readonly string[]) => run('skopeo', ['copy', '--quiet', ...args]);

  test.skipIf(!available('skopeo'))('skopeo takes a zstd layer through layouts and archives', async () => {
    const image = await resolveImage(name, { source: client, platform });
    const from = `docker://${registry.host}/corp/app:arm64`;
    for (const place of ['layout', 'archive']) {
      const ours = places[place]!();
      const theirs = `oci:${directory}/skopeo-${place}:1`;
      await copyLocation(from, ours, { client, referrers: false });
      await skopeo(ours, theirs);
      await using read = await openSource(theirs);
      const seen = await resolveImage(read.reference, { source: read.source });
      expect(seen.diffIds).toEqual(image.diffIds);
      await scanImage(seen, { source: read.source });
    }
  });

  test.skipIf(!available('skopeo'))('we take what skopeo writes', async () => {
    const image = await resolveImage(name, { source: client });
    const written = [
      `docker-archive:${directory}/skopeo.tar:corp/app:1`,
      `oci:${directory}/skopeo-written:1`,
    ];
    for (const [index, place] of written.entries()) {
      await skopeo('--src-tls-verify=false', `docker://${registry.host}/corp/app:amd64`, place);
      const back = parseReference(`${registry.host}/copy/skopeo:${index}`);
      await copyLocation(place, { transport: 'docker', reference: back }, { client });
      const seen = await resolveImage(back, { source: client });
      expect(seen).toMatchObject({ diffIds: image.diffIds, config: { digest: image.config.digest } });
      await scanImage(seen, { source: client });
    }
  });

  test.skipIf(!available('docker', 'docker-engine'))('docker loads and saves what we copy', async () => {
    const docker = (...args: readonly string[]) =>
      run('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
    const tag = `imagevet-location-${randomBytes(4).toString('hex')}:1`;
    const file = join(directory, 'docker.tar');
    const to = `docker-archive:${file}:${tag}`;
    const image = await resolveImage(name, { source: client, platform });
    await copyLocation(`docker://${registry.host}/corp/app:1`, to, { client, platform });
    try {
      await docker('load', '--input', file);
      const saved = join(directory, 'docker-saved.tar');
      await docker('save', '--output', saved, tag);
      const layout = `oci:${directory}/docker-saved`;
      await copyLocation(`docker-archive:${saved}`, layout);
      await using opened = await openSource(layout);
      const back = await resolveImage(opened.reference, { source: opened.source });
      expect(back.config.digest).toBe(image.config.digest);
      await scanImage(back, { source: opened.source });
    } finally {
      await docker('image', 'rm', '--force', tag).catch(() => {});
    }
  });
});
