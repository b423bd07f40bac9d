// An official image that is taken over from an OCI layout: copied as it is, judged, admitted, and built upon.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openOciLayout, parseReference, RegistryClient, resolveImage } from '@imagevet/registry';
import { pushTestImage, startRegistry, type TestImage, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { CoreError } from '../errors.ts';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { SourceHost } from '../lineage/types.ts';
import { officialImagesSource } from '../provenance/official-images/source.ts';
import type { VetReport } from '../report/types.ts';
import { vet } from '../vet/vet.ts';
import { slsaProvenance } from './attest/slsa-provenance.ts';
import { dockerEngineBuilder } from './engine/docker-engine-builder.ts';
import { toBakeFile } from './export/bake-file.ts';
import { importImage } from './import-image.ts';
import { planRebuild } from './plan/plan-rebuild.ts';
import { rebuild } from './rebuild.ts';
import type { Builder } from './types.ts';

const COMMIT = 'a'.repeat(40);
const HEAD = `Maintainers: A B <a@b.example> (@ab)\nGitRepo: https://git.example/distro.git\nGitCommit: ${COMMIT}\n`;
const FILES: Readonly<Record<string, string>> = {
  'library/distro': `${HEAD}Builder: oci-import\nFile: index.json\n\nTags: 9\nDirectory: 9/oci\n`,
  'library/app': `${HEAD}\nTags: 1\nDirectory: app\n`,
  'app/Dockerfile': 'FROM distro:9\nCOPY app /\n',
  'app/app': 'a\n',
};
/** Two layers, one too large to be read from a git host at first: nothing in it compresses. */
const LARGE = Buffer.concat(
  Array.from({ length: 50_000 }, (_none, index) => createHash('sha256').update(`${index}`).digest()),
);
const IMAGE: TestImage = {
  layers: [[{ path: 'etc/os-release', content: 'ID=distro\n' }], [{ path: 'large', content: LARGE }]],
  history: [
    { created: '2026-01-01T00:00:00Z', created_by: '# debian.sh' },
    { created: '2026-01-01T00:00:00Z', created_by: '# large' },
  ],
  config: { created: '2026-01-01T00:00:00Z', config: { Cmd: ['bash'] } },
};
const reference = parseReference('distro:9');

let directory: string;
let published: TestRegistry;
let internal: TestRegistry;
let client: RegistryClient;
const asked: string[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-import-'));
  await pushTestImage(await openOciLayout(directory, { create: true }), reference, IMAGE);
  published = await startRegistry();
  internal = await startRegistry();
  client = new RegistryClient({ attempts: 1, hosts: { 'docker.io': { url: published.url } } });
});
afterAll(async () => {
  await client.close();
  await published.close();
  await internal.close();
  rmSync(directory, { recursive: true, force: true });
});

const host: SourceHost = {
  supports: () => true,
  readFile: async (_repository, _commit, path) => {
    asked.push(path);
    const text = FILES[path];
    const url = `https://git.example/${path}`;
    if (text !== undefined) return { content: Buffer.from(text), url };
    try {
      return { content: readFileSync(join(directory, path.replace(/^9\/oci\//, ''))), url };
    } catch {
      throw new CoreError('SOURCE_NOT_FOUND', `no ${path}`);
    }
  },
  async *readDirectory(_repository, _commit, folder) {
    for (const [path, text] of Object.entries(FILES)) {
      if (!path.startsWith(`${folder}/`)) continue;
      yield { path: path.slice(folder.length + 1), type: 'file', content: Buffer.from(text) };
    }
  },
  commitOf: async () => COMMIT,
  reachability: async () => 'reachable',
};
const sources = [officialImagesSource({ host })];
const placeIn = (registry: string) => ({ registry, repositoryPrefix: 'vetted', client });
/** Builds nothing. */
const copier: Builder = {
  name: 'copier',
  probe: async () => ({ name: 'copier', version: '1', platform: { os: 'linux', architecture: 'amd64' } }),
  build: async () => {
    throw new CoreError('BUILD_FAILED', 'it builds nothing');
  },
  importImage: (request, options) => importImage(request, client, options),
};
const lineageOf = (name: string) => resolveLineage(name, { registry: client, host, sources });
const vetted = (name: string, registry: string, builder: Builder): Promise<VetReport> =>
  vet(name, { registry: client, sources, host, builder, target: placeIn(registry) });
const refused = ({ verdict }: VetReport) =>
  verdict.reasons
    .filter(({ outcome }) => outcome === 'fail' || outcome === 'error')
    .map(({ code, message }) => `${code}: ${message}`);

describe('vet() of an image that is an OCI layout of its repository', () => {
  test.each<[string, TestImage]>([
    ['manifest', IMAGE],
    ['config', { ...IMAGE, annotations: { 'com.docker.official-images.bashbrew.arch': 'amd64' } }],
    ['content', { ...IMAGE, config: { ...IMAGE.config, created: '2026-02-02T00:00:00Z' } }],
  ])('takes it over, admits it, and pins it by the digest of the layout (%s)', async (match, image) => {
    await pushTestImage(client, reference, image);
    asked.length = 0;
    const report = await vetted('distro:9', internal.host, copier);
    expect(refused(report)).toEqual([]);
    const layout = report.lineage.nodes[0]?.dockerfile.layout;
    expect(layout?.match).toBe(match);
    expect(report.verdict).toMatchObject({
      decision: 'allow',
      pinned: `${internal.host}/vetted/library/distro@${layout?.manifest}`,
    });
    const held = await resolveImage(parseReference(report.verdict.pinned!), { source: client });
    expect(held.manifest.digest).toBe(layout?.manifest);
    expect(held.diffIds).toEqual(report.lineage.nodes[0]?.image?.diffIds);
    // The large layer came from the registry: git hosts give files as a whole.
    const [, large] = held.layers;
    expect(large!.size).toBeGreaterThan(1 << 20);
    expect(asked.filter((path) => path.endsWith(large!.digest.slice(7)))).toEqual([]);
  });

  test('says where the layout is in its provenance', async () => {
    await pushTestImage(client, reference, IMAGE);
    const plan = planRebuild([await lineageOf('distro:9')], { target: placeIn(internal.host) });
    const result = await rebuild(plan, { builder: copier, host });
    const [step] = plan.steps;
    const [outcome] = result.outcomes;
    if (outcome?.status !== 'built' || step === undefined) throw new Error(JSON.stringify(outcome));
    const { predicate } = slsaProvenance(step, outcome.image, { parents: new Map() });
    expect(predicate.buildDefinition.externalParameters).toMatchObject({
      ...{ commit: COMMIT, directory: '9/oci', layout: 'index.json' },
    });
    expect(predicate.buildDefinition.resolvedDependencies).toContainEqual({
      uri: `git+https://git.example/distro@${COMMIT}#9/oci/index.json`,
      ...{ digest: { gitCommit: COMMIT }, name: 'layout' },
    });
    // Nothing is built: there is no bake file of it.
    expect(() => toBakeFile(plan)).toThrow(expect.objectContaining({ code: 'PLAN_INVALID' }));
  });

  test('reads the large layer from the repository where no registry has it, and believes only its digest', async () => {
    await pushTestImage(client, reference, IMAGE);
    const plan = planRebuild([await lineageOf('distro:9')], {
      target: { registry: internal.host, repositoryPrefix: 'elsewhere' },
    });
    const mirrors = [{ from: 'docker.io/*', to: `${internal.host}/nowhere/*` }];
    const altered: SourceHost = {
      ...host,
      readFile: async (repository, commit, path, options) => {
        const { content, url } = await host.readFile(repository, commit, path, options);
        return { content: content.length > 1 << 20 ? Buffer.from(content).fill(0, 9) : content, url };
      },
    };
    const options = { builder: copier, mirrors, attempts: 1 };
    const failed = await rebuild(plan, { ...options, host: altered });
    expect(failed.outcomes).toMatchObject([{ status: 'failed', code: 'DIGEST_MISMATCH' }]);
    // What was left by the run that failed does no harm, and the next goes on.
    const done = await rebuild(plan, { ...options, host });
    expect(done.outcomes).toMatchObject([
      { status: 'built', image: { descriptor: { digest: plan.steps[0]?.layout?.digest } } },
    ]);
  });

  test('fails where the builder takes nothing over', async () => {
    const plan = planRebuild([await lineageOf('distro:9')], { target: placeIn(internal.host) });
    const { importImage: _none, ...builder } = copier;
    const { outcomes } = await rebuild(plan, { builder, host });
    expect(outcomes).toMatchObject([{ status: 'failed', code: 'BUILD_UNSUPPORTED' }]);
  });
});

describe.skipIf(!available('docker-engine', 'docker-registry'))('a child of it, on a Docker Engine', () => {
  let registry: RunningService;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(async () => registry.close());

  test('is built on the copy', async () => {
    const base = await pushTestImage(client, reference, IMAGE);
    await pushTestImage(client, parseReference('app:1'), {
      base,
      layers: [[{ path: 'app', content: 'a\n' }]],
      history: [{ created: '2026-01-02T00:00:00Z', created_by: 'COPY app / # buildkit' }],
    });
    const plan = planRebuild([await lineageOf('app:1')], { target: placeIn(registry.host) });
    expect(plan.steps.map(({ id, layout }) => [id.split(' ')[0], layout?.match])).toEqual([
      ['docker.io/library/distro:9', 'manifest'],
      ['docker.io/library/app:1', undefined],
    ]);
    const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
    const { outcomes } = await rebuild(plan, { builder, host });
    const [copied, built] = outcomes;
    if (copied?.status !== 'built' || built?.status !== 'built') throw new Error(JSON.stringify(outcomes));
    expect(copied.image.descriptor.digest).toBe(base.manifest.digest);
    expect(built.image.diffIds.slice(0, 2)).toEqual(copied.image.diffIds);
    const { annotations } = await resolveImage(built.image.reference, { source: client });
    expect(annotations).toMatchObject({
      'org.opencontainers.image.base.name': `${registry.host}/vetted/library/distro:9`,
      'org.opencontainers.image.base.digest': base.manifest.digest,
    });
  });
});
