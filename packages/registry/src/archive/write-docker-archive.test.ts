import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { podmanEnvironment } from '../../../../test/interop/podman.ts';
import { available, dockerHost } from '../../../../test/services.ts';
import { resolveImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import { blobOf } from '../content/read.ts';
import { digestOf } from '../digest.ts';
import { scanImage } from '../layer/scan-image.ts';
import { type OciLayout, openOciLayout } from '../layout/oci-layout.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import { formatReference, parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import { makeTar, pushTestImage, pushTestIndex } from '../testing/image.ts';
import { openDockerArchive } from './docker-archive.ts';
import { type ImageToArchive, writeDockerArchive } from './write-docker-archive.ts';

const run = promisify(execFile);
const unique = randomBytes(4).toString('hex');
const gzipName = parseReference(`imagevet-${unique}/app:1`);
const zstdName = parseReference(`imagevet-${unique}/zstd:2`);

let directory: string;
let source: OciLayout;
let gzip: Awaited<ReturnType<typeof pushTestImage>>;
let zstd: Awaited<ReturnType<typeof resolveImage>>;
beforeAll(async () => {
  // podman makes an image name of a path, which must be lower case.
  directory = join(tmpdir(), `imagevet-write-${unique}`);
  mkdirSync(directory);
  source = await openOciLayout(join(directory, 'source'), { create: true });
  gzip = await pushTestImage(source, gzipName, {
    layers: [
      [{ path: 'etc/' }, { path: 'etc/motd', content: unique }],
      [{ path: 'etc/issue', content: 'two'.repeat(100_000) }],
    ],
  });
  const tar = await makeTar([{ path: 'zstd', content: unique.repeat(100_000) }]);
  const push = async (bytes: Uint8Array, mediaType: string): Promise<Descriptor> => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    await source.pushBlob(zstdName, blobOf(bytes, descriptor));
    return descriptor;
  };
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] };
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs }));
  const document = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: await push(config, MediaType.ociConfig),
    layers: [await push(zstdCompressSync(tar), MediaType.ociLayerZstd)],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  await source.pushManifest(zstdName, { mediaType: MediaType.ociManifest, bytes });
  zstd = await resolveImage(zstdName, { source });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const both = () => [
  { source, reference: gzipName },
  { source, reference: zstdName },
];

async function written(name: string, images: readonly ImageToArchive[] = both()): Promise<string> {
  const path = join(directory, name);
  await writeDockerArchive(images, path);
  return path;
}

describe('writeDockerArchive()', () => {
  test('keeps manifests, digests and layers', async () => {
    const archive = await openDockerArchive(await written('kept.tar'));
    for (const image of [gzip, zstd]) {
      const read = await resolveImage(image.reference, { source: archive });
      expect(read).toEqual(image);
      await scanImage(read, { source: archive });
    }
    expect(archive.images.map(({ names }) => names.map(formatReference))).toEqual([
      [formatReference(gzipName)],
      [formatReference(zstdName)],
    ]);
  });

  test('writes the same bytes for the same images, to a file and to a stream', async () => {
    const stream = new PassThrough();
    const chunks = collect(stream as AsyncIterable<Uint8Array>);
    const report = await writeDockerArchive(both(), stream);
    const bytes = Buffer.concat(await chunks);
    expect(bytes.equals(readFileSync(await written('one.tar')))).toBe(true);
    expect(bytes.equals(readFileSync(await written('two.tar')))).toBe(true);
    expect(report.images.map(({ manifest }) => manifest.digest)).toEqual([
      gzip.manifest.digest,
      zstd.manifest.digest,
    ]);
  });

  test('gives one image several names, and holds it once', async () => {
    const other = parseReference(`imagevet-${unique}/other:3`);
    const path = await written('names.tar', [
      { source, reference: gzipName, names: [gzipName, other] },
      { source, reference: { ...gzipName, digest: gzip.manifest.digest } },
    ]);
    const archive = await openDockerArchive(path);
    expect(archive.images).toEqual([{ names: [gzipName, other], manifest: gzip.manifest }]);
    expect(await archive.resolve(other)).toEqual(gzip.manifest);
  });

  test('refuses to give two images one name', async () => {
    const images = [
      { source, reference: gzipName },
      { source, reference: zstdName, names: [gzipName] },
    ];
    const path = join(directory, 'clash.tar');
    await expect(writeDockerArchive(images, path)).rejects.toMatchObject({ code: 'INVALID_REFERENCE' });
  });

  test('takes whole indexes and what refers to them', async () => {
    const layout = await openOciLayout(mkdtempSync(join(directory, 'index-')), { create: true });
    const name = parseReference('corp/index:1');
    const layers = [[{ path: 'a', content: 'a' }]];
    const amd64 = await pushTestImage(layout, { ...name, tag: 'amd64' }, { layers });
    const arm64 = await pushTestImage(
      layout,
      { ...name, tag: 'arm64' },
      { layers, config: { architecture: 'arm64' } },
    );
    const index = await pushTestIndex(layout, name, [amd64, arm64]);
    const note = { schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: 'text/note' };
    const bytes = Buffer.from(
      JSON.stringify({ ...note, config: amd64.config, layers: amd64.layers, subject: index }),
    );
    const { digest } = await layout.pushManifest(
      { registry: name.registry, repository: name.repository, digest: digestOf(bytes) },
      { bytes, mediaType: MediaType.ociManifest },
    );
    const images = [{ source: layout, reference: name }];
    const whole = join(directory, 'whole.tar');
    const report = await writeDockerArchive(images, whole, { allPlatforms: true });
    expect(report.referrers.map((found) => found.digest)).toEqual([digest]);
    const archive = await openDockerArchive(whole);
    expect((await archive.resolve(name)).digest).toBe(index.digest);
    const platform = { os: 'linux', architecture: 'arm64' };
    expect(await resolveImage(name, { source: archive, platform })).toEqual({
      ...arm64,
      reference: name,
      index,
    });
    expect((await collect(archive.referrers(name, index.digest))).map((found) => found.digest)).toEqual([
      digest,
    ]);
    expect(archive.images).toHaveLength(1);
    const one = join(directory, 'platform.tar');
    await writeDockerArchive(images, one, { platform, referrers: false });
    expect((await (await openDockerArchive(one)).resolve(name)).digest).toBe(arm64.manifest.digest);
  });

  test('leaves nothing behind when it fails or is stopped', async () => {
    const folder = mkdtempSync(join(directory, 'failed-'));
    const path = join(folder, 'out.tar');
    writeFileSync(path, 'before');
    const lying: Fetcher = {
      resolve: (reference) => source.resolve(reference),
      fetchManifest: (reference) => source.fetchManifest(reference),
      async *openBlob(repository, descriptor) {
        const whole = Buffer.concat(await collect(source.openBlob(repository, descriptor)));
        if (descriptor.digest === gzip.layers[1]?.digest) whole[0] = 0;
        yield whole;
      },
    };
    const lie = writeDockerArchive([{ source: lying, reference: gzipName }], path);
    await expect(lie).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    const reason = new Error('enough');
    const controller = new AbortController();
    const stopping: Fetcher = {
      ...lying,
      async *openBlob(repository, descriptor) {
        if (descriptor.digest === gzip.layers[0]?.digest) controller.abort(reason);
        yield* source.openBlob(repository, descriptor);
      },
    };
    for (const destination of [path, new PassThrough().resume()]) {
      const stopped = writeDockerArchive(
        [{ source: stopping, reference: gzipName }],
        destination,
        controller,
      );
      await expect(stopped).rejects.toBe(reason);
    }
    expect(readdirSync(folder)).toEqual(['out.tar']);
    expect(readFileSync(path, 'utf8')).toBe('before');
  });

  test('refuses a zstd layer that is not its diffID', async () => {
    const config = Buffer.from(
      JSON.stringify({
        ...{ architecture: 'amd64', os: 'linux', config: {} },
        rootfs: { type: 'layers', diff_ids: [digestOf('other')] },
      }),
    );
    const descriptor = { ...zstd.config, digest: digestOf(config), size: config.byteLength };
    const name = parseReference('corp/lie:1');
    await source.pushBlob(name, blobOf(config, descriptor));
    const document = { schemaVersion: 2, mediaType: MediaType.ociManifest, config: descriptor };
    const bytes = Buffer.from(JSON.stringify({ ...document, layers: zstd.layers }));
    const { digest } = await source.pushManifest(
      { ...name, tag: 'lie' },
      { bytes, mediaType: MediaType.ociManifest },
    );
    const images = [{ source, reference: { ...name, digest } }];
    const path = join(directory, 'lie.tar');
    await expect(writeDockerArchive(images, path)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  });
});

describe('what writeDockerArchive() wrote', () => {
  test.skipIf(!available('skopeo'))('is read by skopeo, as an archive and as a layout', async () => {
    const path = await written('skopeo.tar');
    for (const [index, image] of [gzip, zstd].entries()) {
      const name = `${image.reference.repository}:${image.reference.tag}`;
      const seen = join(directory, `skopeo-${index}`);
      await run('skopeo', ['copy', '--quiet', `docker-archive:${path}:${name}`, `oci:${seen}:1`]);
      const read = await resolveImage(parseReference('any:1'), { source: await openOciLayout(seen) });
      expect(read.diffIds).toEqual(image.diffIds);
      await scanImage(read, { source: await openOciLayout(seen) });
      const same = join(directory, `skopeo-oci-${index}`);
      await run('skopeo', ['copy', '--quiet', `oci-archive:${path}:${image.reference.tag}`, `oci:${same}:1`]);
      const kept = await resolveImage(parseReference('any:1'), { source: await openOciLayout(same) });
      expect(kept.manifest).toEqual(image.manifest);
    }
  });

  test.skipIf(!available('docker', 'docker-engine'))('is loaded by the Docker Engine', async () => {
    const docker = (...args: readonly string[]) =>
      run('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
    const path = await written('docker.tar');
    const names = [gzip, zstd].map(({ reference }) => `${reference.repository}:${reference.tag}`);
    try {
      await docker('load', '--quiet', '--input', path);
      for (const [index, image] of [gzip, zstd].entries()) {
        const { stdout } = await docker('image', 'inspect', names[index]!);
        const [seen] = JSON.parse(stdout);
        expect(seen.Id).toBe(image.config.digest);
        expect(seen.RootFS.Layers).toEqual(image.diffIds);
      }
      const saved = join(directory, 'saved.tar');
      await docker('save', '--output', saved, ...names);
      const archive = await openDockerArchive(saved);
      for (const image of [gzip, zstd]) {
        const read = await resolveImage(image.reference, { source: archive });
        expect(read).toMatchObject({ diffIds: image.diffIds, config: { digest: image.config.digest } });
      }
    } finally {
      await docker('image', 'rm', '--force', ...names).catch(() => {});
    }
  });

  test.skipIf(!available('podman'))(
    'is loaded by podman',
    async () => {
      const env = { ...process.env, ...podmanEnvironment(directory) };
      const podman = (...args: readonly string[]) => run('podman', args, { env });
      await podman('load', '--quiet', '--input', await written('podman.tar'));
      for (const image of [gzip, zstd]) {
        const { stdout } = await podman('image', 'inspect', formatReference(image.reference));
        const [seen] = JSON.parse(stdout);
        expect(seen.RootFS.Layers).toEqual(image.diffIds);
      }
    },
    30_000,
  );
});
