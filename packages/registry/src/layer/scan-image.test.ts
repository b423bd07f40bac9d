import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../test/services.ts';
import type { ResolvedImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import { type Digest, digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { type ScanProgress, scanImage, scanLayers } from './scan-image.ts';

async function archive(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  return buffer(tar);
}

/** An image of layers held in memory, and what serves them. */
function image(tars: readonly Buffer[], compress: (tar: Buffer) => Buffer = (tar) => gzipSync(tar)) {
  const blobs = new Map<Digest, Buffer>();
  let opened = 0;
  const descriptor = (bytes: Buffer, mediaType: string) => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const resolved: ResolvedImage = {
    reference: { registry: 'registry.test', repository: 'app' },
    manifest: descriptor(Buffer.from('manifest'), 'application/vnd.oci.image.manifest.v1+json'),
    config: descriptor(Buffer.from('config'), 'application/vnd.oci.image.config.v1+json'),
    layers: tars.map((tar) => descriptor(compress(tar), 'application/vnd.oci.image.layer.v1.tar+gzip')),
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: tars.map((tar) => digestOf(tar)),
    history: [],
    annotations: {},
    labels: {},
    execution: {},
  };
  const source: Pick<Fetcher, 'openBlob'> = {
    async *openBlob(_, { digest }) {
      opened += 1;
      const bytes = blobs.get(digest)!;
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    },
  };
  return { resolved, source, opened: () => opened };
}

describe('scanImage()', () => {
  test('scanImage() merges the layers, keeps content and tells its progress', async () => {
    const random = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => (at * 7919) >> 5)).toString(
      'latin1',
    );
    const tars = [
      await archive({ 'etc/os-release': 'ID=debian\n', big: random }),
      await archive({ '.wh.big': '' }),
    ];
    const { resolved, source } = image(tars, (tar) => tar);
    const events: ScanProgress[] = [];

    const { filesystem, layers } = await scanImage(resolved, {
      source,
      keepContent: ({ path }) => path === '/etc/os-release',
      onProgress: (event) => events.push(event),
    });

    expect([...filesystem].map(({ path, layer }) => `${path} ${layer}`)).toEqual([
      '/ 0',
      '/etc 0',
      '/etc/os-release 0',
    ]);
    expect(Buffer.from(filesystem.get('/etc/os-release')!.content!).toString()).toBe('ID=debian\n');
    expect(layers.map(({ diffId }) => diffId)).toEqual(resolved.diffIds);
    const size = tars[0]!.length;
    const ofBase = events.filter((event) => event.layer === 0);
    expect(ofBase.at(-2)).toEqual({
      type: 'layer-progress',
      layer: 0,
      receivedBytes: size,
      totalBytes: size,
    });
    expect(ofBase.at(-1)).toEqual({ type: 'layer-scanned', layer: 0, entries: 2 });
    expect(ofBase.length).toBeGreaterThan(3);
  });

  test('scanImage() refuses a layer whose diffID is not the one in the config', async () => {
    const { resolved, source } = image([await archive({ a: 'a' }), await archive({ b: 'b' })]);
    const diffIds = [resolved.diffIds[0]!, digestOf('other')];
    await expect(scanImage({ ...resolved, diffIds }, { source })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      details: { layer: 1, expected: digestOf('other'), received: resolved.diffIds[1] },
    });
    await expect(scanImage({ ...resolved, diffIds: diffIds.slice(1) }, { source })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    });
  });

  test('scanImage() reads a layer that occurs twice once, and each claim about it', async () => {
    const tar = await archive({ a: 'a' });
    const { resolved, source, opened } = image([tar, tar]);
    expect((await scanImage(resolved, { source })).layers).toHaveLength(2);
    expect(opened()).toBe(1);
    const diffIds = [resolved.diffIds[0]!, digestOf('other')];
    await expect(scanImage({ ...resolved, diffIds }, { source })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });

  test('scanImage() stops all layers when one fails or the signal aborts', async () => {
    const { resolved, source } = image([await archive({ a: 'a' }), await archive({ b: 'b' })]);
    const gone = new Error('connection lost');
    let open = 0;
    const silent: Pick<Fetcher, 'openBlob'> = {
      async *openBlob(repository, descriptor, options) {
        if (descriptor === resolved.layers[1] && options?.signal?.reason !== undefined) return;
        open += 1;
        try {
          if (descriptor === resolved.layers[1]) throw gone;
          await new Promise((_, reject) =>
            options!.signal!.addEventListener('abort', () => reject(options!.signal!.reason)),
          );
          yield* source.openBlob(repository, descriptor);
        } finally {
          open -= 1;
        }
      },
    };
    await expect(scanImage(resolved, { source: silent })).rejects.toBe(gone);
    expect(open).toBe(0);

    const controller = new AbortController();
    const reason = new Error('enough');
    const one = { ...resolved, layers: resolved.layers.slice(0, 1), diffIds: resolved.diffIds.slice(0, 1) };
    const scan = scanImage(one, { source: silent, signal: controller.signal });
    controller.abort(reason);
    await expect(scan).rejects.toBe(reason);
  });

  test('scanLayers() reads only the layers asked for', async () => {
    const tars = await Promise.all(['a', 'b', 'c'].map((name) => archive({ [name]: name })));
    const { resolved, source, opened } = image(tars);
    const scans = await scanLayers(resolved, { source, start: 1, end: 2 });
    expect(scans.map(({ entries }) => entries[0]!.path)).toEqual(['/b']);
    expect(opened()).toBe(1);
  });
});

describe('scanImage() in threads', () => {
  // More than 32 MiB that do not compress.
  const noise = randomBytes(17 * 2 ** 20);
  const large = Promise.all([
    archive({ 'a/noise': noise, 'etc/os-release': 'ID=debian\n' }),
    archive({ 'b/noise': noise, '.wh.a': '' }),
  ]);

  test('scanImage() tells the same from threads as without', async () => {
    const { resolved, source } = image(await large);
    const keepContent = /^\/etc\/os-release$/g;
    const threaded = await scanImage(resolved, { source, keepContent, threads: 2 });
    const direct = await scanImage(resolved, { source, keepContent, threads: 0 });
    expect(threaded.layers).toEqual(direct.layers);
    expect([...threaded.filesystem]).toEqual([...direct.filesystem]);
    const release = threaded.filesystem.get('/etc/os-release')!;
    expect(Buffer.from(release.content!).toString()).toBe('ID=debian\n');
  });

  test('scanImage() passes on from threads what is wrong with a layer', async () => {
    const { resolved, source } = image(await large);
    const error = await scanImage(
      { ...resolved, diffIds: [resolved.diffIds[0]!, digestOf('other')] },
      { source, threads: 2 },
    ).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RegistryError);
    expect(error).toMatchObject({
      code: 'DIGEST_MISMATCH',
      details: { layer: 1, expected: digestOf('other') },
    });
    const limits = { maxUncompressedBytes: 2 ** 20 };
    await expect(scanImage(resolved, { source, threads: 2, limits })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  test('scanImage() stops threads on abort and when the source fails', async () => {
    const { resolved, source } = image(await large);
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => controller.abort(reason);
    await expect(
      scanImage(resolved, { source, threads: 2, onProgress, signal: controller.signal }),
    ).rejects.toBe(reason);
    const gone = new Error('connection lost');
    const broken: Pick<Fetcher, 'openBlob'> = {
      async *openBlob() {
        yield randomBytes(3 * 2 ** 20);
        throw gone;
      },
    };
    // The noise is no archive, so whichever is noticed first ends it.
    const error = await scanImage(resolved, { source: broken, threads: 2 }).catch(
      (caught: unknown) => caught,
    );
    expect(error === gone || (error as RegistryError).code === 'INVALID_LAYER').toBe(true);
  });
});

describe.skipIf(!available('docker-engine', 'docker', 'tar'))('scanImage() beside a Docker Engine', () => {
  test('scanImage() agrees with docker save, and its view with the files of a container', async () => {
    const tag = `imagevet-layers-${process.pid}`;
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-layers-'));
    const docker = (args: readonly string[], input?: string) =>
      execFileSync('docker', args, {
        input,
        maxBuffer: 2 ** 28,
        env: { ...process.env, DOCKER_HOST: dockerHost },
      });
    try {
      // Each line makes what the merge must get right: whiteouts, opaque directories, links, type changes.
      const dockerfile = [
        'FROM local/debian:bookworm-slim',
        'RUN mkdir -p /t/dir/deep /t/opaque && touch /t/gone /t/opaque/old /t/dir/deep/x && ln /t/gone /t/hard',
        'RUN rm /t/gone && rm -r /t/opaque && mkdir /t/opaque && touch /t/opaque/new && chmod 4755 /t/hard',
        'RUN rm -r /t/dir && ln -s opaque /t/dir && mknod /t/pipe p && chown 12:34 /t/pipe && touch "/t/é 💙"',
      ].join('\n');
      docker(['build', '-q', '--network', 'host', '-t', tag, '-'], dockerfile);
      docker(['save', tag, '-o', join(directory, 'image.tar')]);
      execFileSync('tar', ['xf', 'image.tar'], { cwd: directory });
      const read = (name: string) => readFileSync(join(directory, name));
      const [saved] = JSON.parse(read('manifest.json').toString());
      const tars: Buffer[] = saved.Layers.map(read);
      const { diff_ids: diffIds } = JSON.parse(read(saved.Config).toString()).rootfs;

      const { resolved, source } = image(tars);
      const { filesystem, layers } = await scanImage({ ...resolved, diffIds }, { source });

      expect(layers.map(({ diffId }) => diffId)).toEqual(diffIds);
      expect(filesystem.anomalies).toEqual([]);
      const found = docker(['run', '--rm', '--network', 'none', tag, 'sh', '-c', FIND]).toString();
      const lines = found.split('\0').filter((line) => line !== '');
      const seen = [...filesystem].map(
        ({ path, type, mode, uid, gid, size }) =>
          `${path} ${type} ${mode.toString(8)} ${uid}:${gid} ${type === 'file' ? size : 0}`,
      );
      // The engine itself mounts or makes these in every container.
      const ofEngine =
        /^\/(?:dev|proc|sys)(?:\/| )|^\/(?:etc\/(?:hosts|hostname|resolv\.conf|mtab)|\.dockerenv|etc) |^\/ /;
      const own = (line: string) => !ofEngine.test(line);
      expect(seen.filter(own).sort()).toEqual(lines.filter(own).sort());
      expect(seen).toContain('/t/hard file 4755 0:0 0');
    } finally {
      docker(['rmi', '-f', tag]);
      rmSync(directory, { recursive: true, force: true });
    }
  }, 120_000);
});

/** Prints `path type mode uid:gid size`, NUL after each, for the whole root filesystem. */
const FIND = `find / -xdev \\( \
  -type f -printf '%p file %m %U:%G %s\\0' -o -type d -printf '%p directory %m %U:%G 0\\0' -o \
  -type l -printf '%p symlink %m %U:%G 0\\0' -o -type p -printf '%p fifo %m %U:%G 0\\0' -o \
  -type c -printf '%p character-device %m %U:%G 0\\0' -o -type b -printf '%p block-device %m %U:%G 0\\0' \\)`;
