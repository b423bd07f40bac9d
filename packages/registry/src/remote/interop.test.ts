import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { openDockerArchive } from '../archive/docker-archive.ts';
import { copyImage } from '../content/copy.ts';
import { resolveImage } from '../content/image.ts';
import { digestOf } from '../digest.ts';
import { openOciLayout } from '../layout/oci-layout.ts';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { RegistryClient } from './client.ts';

const run = promisify(execFile);
const LAYERS = [
  [{ path: 'etc/' }, { path: 'etc/motd', content: 'one' }],
  [{ path: 'etc/issue', content: 'two'.repeat(100_000) }],
];

describe.skipIf(!available('docker-registry'))('RegistryClient against docker-registry', () => {
  let registry: RunningService;
  const client = new RegistryClient();
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry?.close();
  });

  test('pushes, resolves, reads, lists and deletes', async () => {
    const reference = parseReference(`${registry.host}/team/app:1`);
    const pushed = await pushTestImage(client, reference, { layers: LAYERS });
    const read = await resolveImage(reference, { source: client });
    expect(read).toEqual(pushed);
    expect(await client.resolve(reference)).toEqual(pushed.manifest);
    const tags = await collect(client.tags(reference));
    expect(tags).toEqual(['1']);
    await client.deleteManifest({ ...reference, digest: pushed.manifest.digest });
    await expect(client.fetchManifest(reference)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('mounts a blob from another repository', async () => {
    const from = parseReference(`${registry.host}/team/from:1`);
    const image = await pushTestImage(client, from, { layers: LAYERS });
    const to = parseReference(`${registry.host}/team/to:1`);
    const open = () => client.openBlob(from, image.config);
    const blob = { descriptor: image.config, open };
    expect(await client.pushBlob(to, blob, { mountFrom: from })).toBe('mounted');
    expect(await client.pushBlob(to, blob)).toBe('exists');
  });

  test('lists referrers by the fallback tag', async () => {
    const reference = parseReference(`${registry.host}/team/signed:1`);
    const image = await pushTestImage(client, reference, { layers: LAYERS });
    expect(await collect(client.referrers(reference, image.manifest.digest))).toEqual([]);
  });

  test.skipIf(!available('skopeo'))('copies in both directions with skopeo', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-skopeo-'));
    try {
      const reference = parseReference(`${registry.host}/team/skopeo:1`);
      const image = await pushTestImage(client, reference, { layers: LAYERS });
      const layout = `oci:${directory}/layout:1`;
      await run('skopeo', [
        'copy',
        '--src-tls-verify=false',
        `docker://${registry.host}/team/skopeo:1`,
        layout,
      ]);
      await run('skopeo', [
        'copy',
        '--dest-tls-verify=false',
        layout,
        `docker://${registry.host}/team/back:1`,
      ]);
      const back = await resolveImage(parseReference(`${registry.host}/team/back:1`), { source: client });
      expect(back.manifest.digest).toBe(image.manifest.digest);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe.skipIf(!available('skopeo'))('layouts and archives under skopeo', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'imagevet-skopeo-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('it reads the layout we write, and we read the one it writes', async () => {
    const layout = await openOciLayout(join(directory, 'ours'), { create: true });
    const image = await pushTestImage(layout, parseReference('app:1'), { layers: LAYERS });
    await run('skopeo', ['copy', `oci:${directory}/ours:1`, `oci:${directory}/theirs:2`]);
    const theirs = await openOciLayout(join(directory, 'theirs'));
    const read = await resolveImage(parseReference('app:2'), { source: theirs });
    expect(read.manifest).toEqual(image.manifest);
    expect(read.diffIds).toEqual(image.diffIds);
  });

  test('we read the docker-archive it writes, and push it', async () => {
    const layout = await openOciLayout(join(directory, 'source'), { create: true });
    const image = await pushTestImage(layout, parseReference('app:1'), { layers: LAYERS });
    const file = join(directory, 'archive.tar');
    await run('skopeo', ['copy', `oci:${directory}/source:1`, `docker-archive:${file}:corp/app:1`]);
    const archive = await openDockerArchive(file);
    const name = parseReference('corp/app:1');
    expect((await resolveImage(name, { source: archive })).diffIds).toEqual(image.diffIds);
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const target = parseReference(`${registry.host}/app:1`);
    await copyImage(name, target, { source: archive, destination: client });
    expect((await resolveImage(target, { source: client })).diffIds).toEqual(image.diffIds);
    await expect(archive.fetchManifest(parseReference('other'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('zstd layers go through us unchanged', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const layout = await openOciLayout(join(directory, 'zstd'), { create: true });
    await pushTestImage(layout, parseReference('app:1'), { layers: LAYERS });
    const name = `${registry.host}/zstd:1`;
    await run('skopeo', [
      ...['copy', '--dest-compress-format=zstd', '--dest-compress', '--dest-tls-verify=false', '-f', 'oci'],
      ...[`oci:${directory}/zstd:1`, `docker://${name}`],
    ]);
    const image = await resolveImage(parseReference(name), { source: client });
    const copy = await openOciLayout(join(directory, 'zstd-copy'), { create: true });
    await copyImage(parseReference(name), parseReference('app:1'), { source: client, destination: copy });
    await run('skopeo', ['copy', `oci:${directory}/zstd-copy:1`, `dir:${directory}/zstd-dir`]);
    expect((await resolveImage(parseReference('app:1'), { source: copy })).manifest).toEqual(image.manifest);
  });
});

describe.skipIf(!available('skopeo'))('startRegistry() under skopeo', () => {
  test('takes a copy of an index and gives it back', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const amd64 = await pushTestImage(client, parseReference(`${registry.host}/app:amd64`), {
      layers: LAYERS,
    });
    const arm64 = await pushTestImage(client, parseReference(`${registry.host}/app:arm64`), {
      layers: LAYERS,
      config: { architecture: 'arm64' },
    });
    const index = await pushTestIndex(client, parseReference(`${registry.host}/app:1`), [amd64, arm64]);
    await run('skopeo', [
      ...['copy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false'],
      ...[`docker://${registry.host}/app:1`, `docker://${registry.host}/copy:1`],
    ]);
    const copy = parseReference(`${registry.host}/copy:1`);
    expect((await client.resolve(copy)).digest).toBe(index.digest);
    const platform = { os: 'linux', architecture: 'arm64' };
    expect((await resolveImage(copy, { source: client, platform })).manifest).toEqual({
      ...arm64.manifest,
    });
  });
});

describe.skipIf(!available('docker-engine', 'docker'))('startRegistry() under the Docker Engine', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-docker-'));
  let registry: TestRegistry;
  const client = new RegistryClient();
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('is pushed to, pulled from and saved', async () => {
    const docker = (...args: readonly string[]) =>
      run('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
    const pushed = await pushTestImage(client, parseReference(`${registry.host}/pulled:1`), {
      layers: LAYERS,
    });
    const name = `${registry.host}/pulled:1`;
    const again = `${registry.host}/pushed:1`;
    try {
      await docker('pull', '-q', name);
      const { stdout } = await docker('image', 'inspect', '-f', '{{.Id}}', name);
      expect(stdout.trim()).toBe(pushed.config.digest);
      const file = join(directory, 'saved.tar');
      await docker('save', '-o', file, name);
      const archive = await openDockerArchive(file);
      const saved = await resolveImage(parseReference(name), { source: archive });
      expect(saved).toMatchObject({ diffIds: pushed.diffIds, config: { digest: pushed.config.digest } });
      await docker('tag', name, again);
      await docker('push', '-q', again);
      const image = await resolveImage(parseReference(again), { source: client });
      expect(image.diffIds).toEqual(pushed.diffIds);
      expect(image.config.digest).toBe(pushed.config.digest);
      expect(image.manifest.digest).toBe(digestOf((await client.fetchManifest(parseReference(again))).bytes));
    } finally {
      await docker('image', 'rm', '-f', name, again).catch(() => {});
    }
  });
});
