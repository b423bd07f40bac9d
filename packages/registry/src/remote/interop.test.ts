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
import { resolveImage } from '../content/image.ts';
import { digestOf } from '../digest.ts';
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
  let registry: TestRegistry;
  const client = new RegistryClient();
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry?.close();
  });

  test('is pushed to and pulled from', async () => {
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
