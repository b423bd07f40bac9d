// A second run without any connection: what the first one was told is all there is.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openOciLayout, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, startHub, startRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { Lineage } from '../lineage/types.ts';
import type { VetReport } from '../report/types.ts';
import { vet } from '../vet/vet.ts';
import { collect } from './__fixtures__/collect.ts';
import { startWorld, type World } from './__fixtures__/world.ts';
import { type GitMirrorHostOptions, gitMirrorHost } from './hosts/git/git-mirror.ts';
import { type PublicServicesOptions, publicServices } from './public-services.ts';

const RUNTIME = 'https://github.com/acme/runtime';

let directory: string;
let world: World;
let services: PublicServicesOptions;
let mirrors: Pick<GitMirrorHostOptions, 'directory' | 'remotes' | 'hosts'>;
let online: Lineage;
let today: Lineage;
let report: VetReport;
let closeAll: () => Promise<void>;
let asked: () => number;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-offline-'));
  world = await startWorld();
  const registry = await startRegistry();
  const hub = await startHub({ repositories: { 'library/blog': { description: '# Blog\n' } } });
  const hosts = { 'docker.io': { url: registry.url } };
  const client = new RegistryClient({ hosts });
  const layersOf = (...names: readonly string[]) => names.map((name) => [{ path: name, content: name }]);
  // `rootfs:slim` is in no registry: that it is not there has to be remembered too.
  await pushTestImage(client, parseReference('runtime:7-web'), { layers: layersOf('r') });
  await pushTestImage(client, parseReference('blog:4'), { layers: layersOf('r', 'b') });
  await client.close();
  mirrors = {
    directory: join(directory, 'mirrors'),
    remotes: { [RUNTIME]: world.host.cloneUrl('acme/runtime') },
    hosts: [],
  };
  services = {
    hosts,
    hubUrl: hub.url,
    gitUrl: world.host.url,
    cacheDirectory: join(directory, 'cache'),
  };
  asked = () => world.host.requests.length + registry.requests.length + hub.requests.length;
  const closing = [() => world.close(), () => registry.close(), () => hub.close()];
  closeAll = async () => {
    await Promise.all(closing.splice(0).map((close) => close()));
  };
  online = await lineageOf({});
  today = await lineageOf({}, { asOf: undefined });
  report = await vetOf({});
}, 60_000);

afterAll(async () => {
  await closeAll();
  rmSync(directory, { recursive: true, force: true });
});

/** The family is described together on this day. */
const DAY = new Date('2018-01-04T00:00:00Z');

async function lineageOf(
  options: PublicServicesOptions,
  { mirrored = true, asOf = DAY as Date | undefined } = {},
): Promise<Lineage> {
  const { offline = false } = options;
  const sourceHosts = mirrored ? [gitMirrorHost({ ...mirrors, offline, maxAgeMs: 0 })] : [];
  const { registry, ...rest } = publicServices({ ...services, sourceHosts, ...options });
  const lineage = await resolveLineage('blog:4', {
    ...{ registry, ...rest },
    ...(asOf === undefined ? {} : { asOf }),
  });
  await registry.close();
  return lineage;
}

/** The clock of a vetting: two at one time say the same. */
const NOW = '2026-01-01T00:00:00.000Z';

async function vetOf(options: PublicServicesOptions): Promise<VetReport> {
  const { offline = false } = options;
  const sourceHosts = [gitMirrorHost({ ...mirrors, offline, maxAgeMs: 0 })];
  const { registry, ...rest } = publicServices({ ...services, sourceHosts, ...options });
  const found = await vet('blog:4', { registry, ...rest, asOf: DAY, now: () => new Date(NOW) });
  await registry.close();
  return found;
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('publicServices({ offline: true })', () => {
  test('gives the lineage the run before gave, and asks nobody', async () => {
    const statuses = online.nodes.map(({ dockerfile }) => dockerfile.status);
    expect([online.nodes.length, statuses.includes('found')]).toEqual([3, true]);
    expect(online.nodes.map(({ image }) => image !== undefined)).toEqual([true, true, false]);
    const before = asked();
    expect(await lineageOf({ offline: true })).toEqual(online);
    expect(await lineageOf({ offline: true }, { asOf: undefined })).toEqual(today);
    expect(today.nodes[0]?.dockerfile.status).toBe('found');
    expect(asked()).toBe(before);
  });

  test('gives the report of a vetting the run before gave, and asks nobody', async () => {
    expect(report.lineage).toEqual(online);
    expect([report.verdict.decision, report.verdict.reasons.length > 0]).toEqual(['deny', true]);
    const before = asked();
    expect(plain(await vetOf({ offline: true }))).toEqual(plain(report));
    expect(asked()).toBe(before);
  });

  test('says what is missing, each as a gap, and never throws for it', async () => {
    const before = asked();
    const cacheDirectory = join(directory, 'empty');
    await expect(lineageOf({ offline: true, cacheDirectory })).rejects.toMatchObject({
      code: 'OFFLINE',
      message: expect.stringContaining('docker.io/library/blog:4'),
    });
    const partly = await lineageOf({ offline: true }, { mirrored: false });
    const gaps = partly.gaps.filter(({ code }) => code === 'OFFLINE');
    expect(gaps.map(({ stage }) => stage)).toContain('provenance');
    expect(gaps.every(({ message }) => message.includes('acme/runtime'))).toBe(true);
    expect(partly.nodes[1]?.dockerfile.status).toBe('host-unreachable');
    expect(asked()).toBe(before);
  });

  test('reads a layout in place of a registry', async () => {
    const folder = join(directory, 'layout');
    const layout = await openOciLayout(folder, { create: true });
    const reference = parseReference('laid:1');
    await pushTestImage(layout, reference, { layers: [[{ path: 'a', content: 'a' }]] });
    const layouts = { 'docker.io/library/laid': folder };
    const { registry } = publicServices({ ...services, layouts, offline: true });
    const { descriptor } = await layout.fetchManifest(reference);
    expect((await registry.resolve(reference)).digest).toBe(descriptor.digest);
    const found = await registry.fetchManifest(reference);
    if (found.kind !== 'image') throw new Error('no image');
    const layer = found.manifest.layers[0]!;
    expect((await collect(registry.openBlob(reference, layer))).length).toBeGreaterThan(0);
    const refused = [
      () => collect(registry.tags(reference)),
      () => registry.ping('docker.io'),
      () => collect(registry.openBlob(parseReference('other:1'), layer)),
      () => registry.resolve(parseReference('other:1')),
    ];
    for (const work of refused) await expect(work()).rejects.toMatchObject({ code: 'OFFLINE' });
  });

  test('reads no manifest and no blob that is another than its digest says', async () => {
    const { registry } = publicServices({ ...services, offline: true });
    const [node] = online.nodes;
    const { image } = node!;
    const other = { ...image!.config, digest: `sha256:${'0'.repeat(64)}` as const };
    await expect(collect(registry.openBlob(node!.reference, other))).rejects.toMatchObject({
      code: 'OFFLINE',
    });
  });

  test('opens no socket and looks up no name, in a process where either ends it', async () => {
    await closeAll();
    const run = async (offline: boolean) => {
      const program = `
        import dgram from 'node:dgram';
        import dns from 'node:dns';
        import { syncBuiltinESMExports } from 'node:module';
        import net from 'node:net';
        const refuse = (what) => () => { process.stdout.write('REFUSED ' + what); process.exit(70); };
        net.Socket.prototype.connect = refuse('connect');
        net.connect = net.createConnection = refuse('connect');
        dgram.createSocket = refuse('datagram');
        for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) {
          dns[name] = refuse('lookup');
          dns.promises[name] = refuse('lookup');
        }
        syncBuiltinESMExports();
        const { gitMirrorHost, publicServices, vet } = await import('@imagevet/core');
        const sourceHosts = [gitMirrorHost(${JSON.stringify({ ...mirrors, offline, maxAgeMs: 0 })})];
        const services = publicServices({ ...${JSON.stringify({ ...services, offline })}, sourceHosts });
        const clock = { asOf: new Date(${JSON.stringify(DAY)}), now: () => new Date(${JSON.stringify(NOW)}) };
        process.stdout.write(JSON.stringify(await vet('blog:4', { ...services, ...clock })));
      `;
      const flags = ['--conditions=@imagevet/source', '--input-type=module', '-e', program];
      const options = { cwd: import.meta.dirname, maxBuffer: 64 * 1024 * 1024 };
      return promisify(execFile)(process.execPath, flags, options).then(
        ({ stdout }) => stdout,
        (error: { stdout: string }) => error.stdout,
      );
    };
    // All of a vetting: lineage, findings and verdict.
    expect(JSON.parse(await run(true))).toEqual(plain(report));
    // The trap works: the same program, not offline, is ended by it.
    expect(await run(false)).toMatch(/^REFUSED (?:connect|lookup)$/);
  }, 60_000);

  test('leaves the cache as it is', () => {
    expect(existsSync(join(directory, 'empty'))).toBe(false);
  });
});
