import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../test/services.ts';
import type { ResolvedImage } from '../content/image.ts';
import { resolveImage } from '../content/image.ts';
import { digestOf } from '../digest.ts';
import { scanImage } from '../layer/scan-image.ts';
import { copyLocation } from '../location/copy-location.ts';
import { historyExplainsLayers } from '../oci/config.ts';
import { formatReference, type ImageReference, parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { pushTestImage, pushTestIndex, type TestImage } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { rebaseImage } from './rebase-image.ts';

const client = new RegistryClient();
const unique = randomBytes(4).toString('hex');
let registry: TestRegistry;
let oldBase: ResolvedImage;
let newBase: ResolvedImage;
let image: ResolvedImage;
const named = (name: string) => parseReference(`${registry.host}/${name}`);
const push = (name: string, content: TestImage) => pushTestImage(client, named(name), content);

beforeAll(async () => {
  registry = await startRegistry();
  const base = (
    version: string,
    env: readonly string[],
    extra: readonly { path: string; content: string }[],
  ) => ({
    layers: [
      [{ path: 'etc/' }, { path: 'etc/version', content: `${version} ${unique}` }],
      ...(extra.length === 0 ? [] : [extra]),
    ],
    history: [
      { created_by: `ADD rootfs-${version}.tar / # buildkit` },
      { created_by: `ENV VERSION=${version}`, empty_layer: true },
      ...extra.map(() => ({ created_by: 'COPY extra / # buildkit' })),
      { created_by: 'CMD ["sh"]', empty_layer: true },
    ],
    config: { config: { Env: env, Cmd: ['sh'], Labels: { version }, User: '', OnBuild: ['RUN true'] } },
  });
  oldBase = await push('base:1', base('1', ['PATH=/bin', 'VERSION=1', 'GONE=1'], []));
  newBase = await push(
    'base:2',
    base('2', ['PATH=/usr/bin', 'VERSION=2', 'NEW=2'], [{ path: 'extra', content: '2' }]),
  );
  image = await push('app:1', {
    base: oldBase,
    layers: [[{ path: 'app', content: unique }], [{ path: 'etc/.wh.none', content: '' }]],
    history: [
      { created_by: 'ENV APP=1', empty_layer: true },
      { created_by: 'COPY app / # buildkit' },
      { created_by: 'RUN rm -f /etc/none' },
    ],
    config: {
      created: '2020-01-01T00:00:00Z',
      config: {
        ...{ Env: ['PATH=/app:/bin', 'VERSION=1', 'GONE=1', 'APP=1'], Cmd: ['sh'], Entrypoint: ['/app'] },
        Labels: { version: '1', app: 'yes' },
      },
    },
  });
});
afterAll(async () => {
  await client.close();
  await registry.close();
});

const rebase = (target: string, more: Partial<Parameters<typeof rebaseImage>[1]> = {}, of?: ImageReference) =>
  rebaseImage(of ?? image.reference, {
    ...{ source: client, destination: client },
    ...{ oldBase: oldBase.reference, newBase: newBase.reference, target: named(target), ...more },
  });

describe('rebaseImage()', () => {
  test('exchanges layers, history and inherited settings', async () => {
    const report = await rebase('app:rebased');
    const result = await resolveImage(named('app:rebased'), { source: client });
    expect(report).toMatchObject({
      manifest: result.manifest,
      config: result.config,
      previous: image.manifest,
      layers: { removed: 1, added: 2, kept: 2 },
      conflicts: ['Env.PATH'],
    });
    expect(result.diffIds).toEqual([...newBase.diffIds, ...image.diffIds.slice(1)]);
    expect(result.layers).toEqual([...newBase.layers, ...image.layers.slice(1)]);
    expect(result.history).toEqual([...newBase.history, ...image.history.slice(3)]);
    expect(
      historyExplainsLayers({
        history: result.history,
        rootfs: { type: 'layers', diff_ids: result.diffIds },
      }),
    ).toBe(true);
    expect(result.execution).toEqual({
      Env: ['PATH=/app:/bin', 'VERSION=2', 'NEW=2', 'APP=1'],
      ...{ Cmd: ['sh'], Entrypoint: ['/app'], User: '', Labels: { version: '2', app: 'yes' } },
    });
    expect(result.created).toBe('2020-01-01T00:00:00Z');
    expect(result.annotations).toEqual({
      'org.opencontainers.image.base.name': formatReference(newBase.reference),
      'org.opencontainers.image.base.digest': newBase.manifest.digest,
    });
    const scan = await scanImage(result, { source: client });
    const entries = scan.layers.flatMap((layer) => layer.entries);
    expect(entries.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['/etc/version', '/extra', '/app']),
    );
    const version = entries.find(({ path }) => path === '/etc/version');
    expect(version?.digest).toBe(digestOf(`2 ${unique}`));
  });

  test('gives the same bytes each time', async () => {
    const [first, second] = [await rebase('app:one'), await rebase('app:two')];
    expect(first.manifest).toEqual(second.manifest);
  });

  test('brings an image back to where it was', async () => {
    await rebase('app:there');
    await rebase('app:back', { oldBase: newBase.reference, newBase: oldBase.reference }, named('app:there'));
    const back = await resolveImage(named('app:back'), { source: client });
    expect(back.diffIds).toEqual(image.diffIds);
    expect(back.history).toEqual(image.history);
  });

  test('cuts a history that is not its base’s by layers, and drops one that explains nothing', async () => {
    const layers = [[{ path: 'app', content: unique }]];
    const rewritten = await push('rewritten:1', {
      base: { ...oldBase, history: [{ created_by: 'import' }] },
      layers,
    });
    await rebase('rewritten:2', {}, rewritten.reference);
    const cut = await resolveImage(named('rewritten:2'), { source: client });
    expect(cut.history).toEqual([...newBase.history, ...rewritten.history.slice(1)]);
    const squashed = await push('squashed:1', { base: { ...oldBase, history: [] }, layers, history: [] });
    await rebase('squashed:2', {}, squashed.reference);
    expect((await resolveImage(named('squashed:2'), { source: client })).history).toEqual([]);
  });

  test('takes one image of an index', async () => {
    await pushTestIndex(client, named('app:index'), [image]);
    const report = await rebase('app:from-index', {}, named('app:index'));
    expect(report.previous).toEqual(image.manifest);
  });

  test('refuses an image that is on another base', async () => {
    const wrong = rebase('never:1', { oldBase: newBase.reference });
    await expect(wrong).rejects.toMatchObject({
      code: 'BASE_MISMATCH',
      details: { layer: 1, expected: newBase.diffIds[0], received: image.diffIds[0] },
    });
    const larger = rebase('never:1', { oldBase: image.reference }, oldBase.reference);
    await expect(larger).rejects.toMatchObject({ code: 'BASE_MISMATCH', details: { received: null } });
    const empty = await push('empty:1', { layers: [] });
    await expect(rebase('never:1', { oldBase: empty.reference })).rejects.toMatchObject({
      code: 'BASE_MISMATCH',
    });
    const arm = await push('arm:1', { layers: [], config: { architecture: 'arm64' } });
    await expect(rebase('never:1', { newBase: arm.reference })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
    });
    await expect(client.resolve(named('never:1'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test.skipIf(!available('docker', 'docker-engine'))('makes what the Docker Engine loads', async () => {
    const docker = (...args: readonly string[]) =>
      promisify(execFile)('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-rebase-'));
    const tag = `imagevet-rebase-${unique}:1`;
    try {
      const { config } = await rebase('app:docker');
      const file = join(directory, 'rebased.tar');
      await copyLocation(formatReference(named('app:docker')), `docker-archive:${file}:${tag}`, { client });
      await docker('load', '--input', file);
      const [seen] = JSON.parse((await docker('image', 'inspect', tag)).stdout);
      const result = await resolveImage(named('app:docker'), { source: client });
      expect(seen.Id).toBe(config.digest);
      expect(seen.RootFS.Layers).toEqual(result.diffIds);
      expect(seen.Config.Env).toEqual(result.execution.Env);
      const history = await docker('history', '--no-trunc', '--format', '{{.CreatedBy}}', tag);
      expect(history.stdout.trim().split('\n').reverse()).toEqual(
        result.history.map((entry) => entry.created_by),
      );
      // A container that never runs, to look at its files.
      const container = (await docker('create', tag)).stdout.trim();
      try {
        const copied = await docker('cp', `${container}:/etc/version`, join(directory, 'version'));
        expect(copied.stderr).toBe('');
        expect(readFileSync(join(directory, 'version'), 'utf8')).toBe(`2 ${unique}`);
      } finally {
        await docker('rm', container);
      }
    } finally {
      await docker('image', 'rm', '--force', tag).catch(() => {});
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
