// A world that changes: its library file and the tags of its registry, read as of the time each image was built.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference, type ResolvedImage } from '@imagevet/registry';
import {
  createRepository,
  type GitHost,
  pushTestImage,
  startGitHost,
  startHub,
  type TestImage,
} from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publicHosts } from '../provenance/hosts/public-hosts.ts';
import { publicSources } from '../provenance/public-sources.ts';
import { serveDockerHub } from './__fixtures__/docker-hub.ts';
import type { ResolveLineageOptions } from './options.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, SourceHost } from './types.ts';

const SOURCE = 'https://github.com/acme/family';
let directory: string;
let git: GitHost;
let hub: Awaited<ReturnType<typeof startHub>>;
const served = serveDockerHub('all');
let host: SourceHost;
let commits: readonly string[];

const JANUARY = '2020-01-10T10:10:10Z';
const FEBRUARY = '2020-02-10T10:10:10Z';
const COPY = (name: string) => ({ created: JANUARY, created_by: `COPY ${name} / # buildkit` });

function library(name: string, commit: string): Record<string, string> {
  const maintainers = 'Maintainers: A. Person <a@imagevet.example> (@a)';
  return {
    [`library/${name}`]: `${maintainers}\nGitRepo: ${SOURCE}.git\n\nTags: 1\nArchitectures: amd64\nGitCommit: ${commit}\nDirectory: ${name}\n`,
  };
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-build-'));
  const family = await createRepository(join(directory, 'family'), [
    {
      files: {
        'app/Dockerfile': 'FROM base:1\nCOPY app /\n',
        'base/Dockerfile': 'FROM scratch\nCOPY base /\n',
      },
      message: 'January',
      date: '2020-01-05T05:05:05Z',
    },
    {
      files: {
        'app/Dockerfile': 'FROM base:1\nCOPY app2 /\n',
        'base/Dockerfile': 'FROM scratch\nCOPY base2 /\n',
      },
      message: 'February',
      date: '2020-02-05T05:05:05Z',
    },
  ]);
  commits = family.commits;
  const [january = '', february = ''] = commits;
  const official = await createRepository(join(directory, 'official'), [
    {
      files: { ...library('app', january), ...library('base', january) },
      message: 'one',
      date: '2020-01-06',
    },
    {
      files: { ...library('app', february), ...library('base', february) },
      message: 'two',
      date: '2020-02-06',
    },
  ]);
  const docs = await createRepository(join(directory, 'docs'), [
    { files: { 'README.md': 'none' }, message: 'none', date: '2019-01-01' },
  ]);
  git = await startGitHost({
    repositories: {
      ...{ 'acme/family': family.path, 'docker-library/official-images': official.path },
      'docker-library/docs': docs.path,
    },
  });
  hub = await startHub({ repositories: {} });
  host = publicHosts({ apiUrl: git.apiUrl, rawUrl: git.rawUrl });
});
afterAll(async () => {
  await git.close();
  await hub.close();
  rmSync(directory, { recursive: true, force: true });
});

const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
  pushTestImage(served.client, parseReference(name), image);

function resolve(options: Partial<ResolveLineageOptions> = {}): Promise<Lineage> {
  const sources = publicSources({ host, registry: served.client, hubUrl: hub.url });
  return resolveLineage('app:1', { registry: served.client, sources, host, asOf: 'build', ...options });
}

const commitsOf = (lineage: Lineage) => lineage.nodes.map(({ dockerfile }) => dockerfile.location?.commit);
const codes = (lineage: Lineage) => lineage.gaps.map(({ code }) => code);

describe("resolveLineage() with asOf: 'build'", () => {
  /** `base:1` and `app:1` of January; the tag of the base has moved on since when `moved`. */
  async function family({
    baseAt = '2020-01-09T09:09:09Z',
    appAt = JANUARY,
    moved = false,
    annotations = {},
  }: {
    readonly baseAt?: string;
    readonly appAt?: string;
    readonly moved?: boolean;
    readonly annotations?: Readonly<Record<string, string>>;
  }) {
    const content = (name: string) => [{ path: name, content: name }];
    const base = await push('base:1', {
      layers: [content('base')],
      history: [COPY('base')],
      config: { created: baseAt },
    });
    if (moved) {
      await push('base:1', {
        layers: [content('base2')],
        history: [COPY('base2')],
        config: { created: FEBRUARY },
      });
    }
    await push('app:1', {
      ...{ base, layers: [content('app')], history: [COPY('app')] },
      ...{ config: { created: appAt }, annotations },
    });
    return base;
  }

  test('reads the library as each image was built, and not as it is', async () => {
    await family({});
    const now = await resolve({ asOf: 'now' });
    expect(commitsOf(now)).toEqual([commits[1], commits[1]]);
    expect(now.nodes[0]?.dockerfile.consistency).toBe('inconsistent');
    expect([now.asOf, now.nodes[0]?.asOf]).toEqual([undefined, undefined]);

    const built = await resolve();
    expect(commitsOf(built)).toEqual([commits[0], commits[0]]);
    expect(built.nodes.map(({ dockerfile }) => dockerfile.consistency)).toEqual(['consistent', 'consistent']);
    expect(built.edges.map(({ grade }) => grade)).toEqual(['proven']);
    expect(built.asOf).toBe('build');
    expect(built.nodes.map(({ asOf }) => asOf)).toEqual([
      '2020-01-10T10:10:10.000Z',
      '2020-01-09T09:09:09.000Z',
    ]);
    expect(built.nodes[0]?.claims[0]).toMatchObject({ asOf: '2020-01-10T10:10:10.000Z' });
    expect(built.gaps).toEqual([]);
  });

  test('takes the tag of a base as of the build of its child', async () => {
    await family({ moved: true });
    const lineage = await resolve();
    expect(lineage.nodes[1]?.image).toBeUndefined();
    expect(codes(lineage)).toEqual(['IMAGE_NEWER_THAN_AS_OF']);
    expect(commitsOf(lineage)).toEqual([commits[0], commits[0]]);
    expect(lineage.nodes[1]?.asOf).toBe('2020-01-10T10:10:10.000Z');
  });

  test('finds the base that was, by those who know other versions as of then', async () => {
    const base = await family({ moved: true });
    const told: (string | undefined)[] = [];
    const lineage = await resolve({
      otherVersions: (reference, { asOf }) => {
        told.push(asOf?.toISOString());
        return [{ ...reference, tag: undefined, digest: base.manifest.digest }];
      },
    });
    expect(told).toEqual(['2020-01-10T10:10:10.000Z']);
    expect(lineage.edges.map(({ grade }) => grade)).toEqual(['proven']);
    expect(lineage.nodes[1]?.asOf).toBe('2020-01-09T09:09:09.000Z');
    expect(lineage.gaps).toEqual([]);
  });

  test('goes by the annotation before the config', async () => {
    await family({ appAt: FEBRUARY, annotations: { 'org.opencontainers.image.created': JANUARY } });
    expect(commitsOf(await resolve())).toEqual([commits[0], commits[0]]);
  });

  test('says that it does not know when an image was built that was told its time', async () => {
    await family({ appAt: '2020-01-10T00:00:00Z' });
    const lineage = await resolve();
    expect(lineage.gaps).toMatchObject([
      {
        code: 'BUILD_TIME_UNKNOWN',
        node: lineage.root,
        message: expect.stringContaining('2020-01-10T00:00:00.000Z is midnight') as string,
      },
    ]);
    expect(lineage.nodes[0]?.asOf).toBeUndefined();
    expect(lineage.nodes[0]?.buildTimeDoubt).toContain('midnight');
    expect(commitsOf(lineage)).toEqual([commits[1], commits[0]]);
  });

  test.each([
    ['told its time', '1980-01-01T00:00:00Z', 'a clock begins'],
    ['says that it was built after its child', FEBRUARY, 'after the build of what is built on it'],
  ])('asks about a base as of its child when it %s', async (_name, baseAt, doubt) => {
    const { manifest } = await family({ baseAt });
    const base = 'org.opencontainers.image.base';
    await family({
      baseAt,
      annotations: { [`${base}.name`]: 'base:1', [`${base}.digest`]: manifest.digest },
    });
    const lineage = await resolve();
    expect(lineage.edges.map(({ grade }) => grade)).toEqual(['proven']);
    expect(lineage.nodes[1]?.asOf).toBe('2020-01-10T10:10:10.000Z');
    expect(lineage.nodes[1]?.buildTimeDoubt).toContain(doubt);
    expect(commitsOf(lineage)).toEqual([commits[0], commits[0]]);
  });

  test('does not take the time of the commit for that of the build', async () => {
    const annotations = {
      'org.opencontainers.image.source': `${SOURCE}.git#${commits[0]}:app`,
      'org.opencontainers.image.revision': commits[0]!,
    };
    await family({ appAt: '2020-01-05T05:05:05Z', annotations });
    const lineage = await resolve();
    expect(lineage.nodes[0]?.buildTimeDoubt).toContain('the time of its commit');
    expect(codes(lineage)).toEqual(['BUILD_TIME_UNKNOWN']);
  });

  test('tells that the time of the commit could not be asked', async () => {
    const annotations = { 'org.opencontainers.image.source': `${SOURCE}.git#${commits[0]}:app` };
    await family({ annotations });
    host = publicHosts({ apiUrl: 'http://127.0.0.1:1', rawUrl: git.rawUrl });
    const lineage = await resolve({
      sources: publicSources({ host, registry: served.client, hubUrl: hub.url }).slice(0, 2),
      host,
    });
    host = publicHosts({ apiUrl: git.apiUrl, rawUrl: git.rawUrl });
    expect(
      lineage.gaps.filter(({ message }) => message.includes('was committed could not be asked')),
    ).toHaveLength(1);
    expect(lineage.nodes[0]?.asOf).toBe('2020-01-10T10:10:10.000Z');
  });

  test('asks about images that nobody shows as of their children, and as of now when there is none', async () => {
    const { registry: _, ...rest } = { registry: served.client };
    const lineage = await resolve({ ...rest, registry: undefined as never });
    expect(lineage.nodes.map(({ asOf }) => asOf)).toEqual([undefined, undefined]);
    expect(commitsOf(lineage)).toEqual([commits[1], commits[1]]);
  });
});

test('resolveLineage() refuses a date that is none', async () => {
  const asked = resolveLineage('app:1', { sources: [], asOf: new Date('never') });
  await expect(asked).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
});
