import {
  type Fetcher,
  formatReference,
  parseReference,
  RegistryClient,
  RegistryError,
} from '@imagevet/registry';
import { pushTestImage, type TestFile } from '@imagevet/registry/testing';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../errors.ts';
import { serveDockerHub } from './__fixtures__/docker-hub.ts';
import type { ResolveLineageOptions } from './options.ts';
import { lineageToDot, lineageToMermaid } from './plot.ts';
import { resolveLineage } from './resolve-lineage.ts';
import { spine } from './spine.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource, SourceHost } from './types.ts';

const REPOSITORY = 'https://git.example/family';
const COMMIT = 'a'.repeat(40);
const HINT = { hint: 'Ask for another.' };

/** A source and a host over a table: image name to Dockerfile. */
function sourcesOf(dockerfiles: Readonly<Record<string, string>>): {
  source: ProvenanceSource;
  host: SourceHost;
} {
  return {
    source: {
      kind: 'official-images',
      async *claims({ reference }) {
        const path = `${reference.repository.replace('library/', '')}-${reference.tag}/Dockerfile`;
        const name = path.replace('/Dockerfile', '');
        if (Object.hasOwn(dockerfiles, name)) {
          yield {
            kind: 'official-images',
            foundAt: `${REPOSITORY}/library`,
            location: { repository: REPOSITORY, commit: COMMIT, directory: name, path },
          };
        }
      },
    },
    host: {
      supports: (repository) => repository === REPOSITORY,
      readFile: async (_repository, commit, path) => {
        const text = dockerfiles[path.replace('/Dockerfile', '')] ?? '';
        if (text === 'GONE') throw new CoreError('SOURCE_COMMIT_NOT_FOUND', `no commit ${commit}`, HINT);
        if (text === 'MISSING') throw new CoreError('SOURCE_NOT_FOUND', `no file ${path}`, HINT);
        if (text === 'DOWN') throw new CoreError('SOURCE_UNREACHABLE', 'nobody answers', HINT);
        return { content: Buffer.from(text), url: `${REPOSITORY}/${commit}/${path}` };
      },
      async *readDirectory() {},
      commitOf: async () => COMMIT,
      reachability: async () => 'reachable',
    },
  };
}

const claiming = (claim: Partial<ProvenanceClaim>, tag: string): ProvenanceSource => ({
  kind: claim.kind ?? 'oci-annotation',
  async *claims({ reference }) {
    if (reference.tag === tag) yield { kind: 'oci-annotation', foundAt: 'annotations', ...claim };
  },
});

const edgeOf = (lineage: Lineage, kind = 'base') => lineage.edges.find((edge) => edge.kind === kind);
const codes = (lineage: Lineage) => lineage.gaps.map(({ code }) => code);

describe('resolveLineage() on claims alone', () => {
  const resolve = (
    dockerfiles: Record<string, string>,
    image = 'app:1',
    options: Partial<ResolveLineageOptions> = {},
  ) => {
    const { source, host } = sourcesOf(dockerfiles);
    return resolveLineage(image, { sources: [source], host, ...options });
  };

  test('follows FROM to scratch', async () => {
    const lineage = await resolve({
      'app-1': 'FROM mid:2\nRUN x',
      'mid-2': 'ARG V=3\nFROM base:$V',
      'base-3': 'FROM scratch',
    });
    expect(spine(lineage).map(({ reference, end }) => [formatReference(reference), end])).toEqual([
      ['docker.io/library/app:1', undefined],
      ['docker.io/library/mid:2', undefined],
      ['docker.io/library/base:3', 'scratch'],
    ]);
    expect(lineage.edges.map(({ grade, line }) => [grade, line])).toEqual([
      ['claimed', 1],
      ['claimed', 2],
    ]);
    expect(lineage.gaps).toEqual([]);
    expect(JSON.parse(JSON.stringify(lineage))).toEqual(lineage);
  });

  test.each([
    ['the file of the repository', 'FROM scratch', []],
    ['another file than the repository has', 'FROM scratch\nRUN x', ['SOURCE_DOCKERFILE_DIFFERS']],
  ])('holds an embedded Dockerfile against its repository: %s', async (_name, dockerfile, expected) => {
    const { host } = sourcesOf({ 'app-1': 'FROM scratch' });
    const location = { repository: REPOSITORY, commit: COMMIT, directory: 'app-1', path: 'app-1/Dockerfile' };
    const source = claiming({ kind: 'buildkit-attestation', location, dockerfile }, '1');
    const lineage = await resolveLineage('app:1', { sources: [source], host });
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({ text: dockerfile, reachability: 'reachable' });
    expect(codes(lineage)).toEqual(expected);
  });

  test('says when the repository does not have the file an embedded Dockerfile is said to be', async () => {
    const { host } = sourcesOf({ 'app-1': 'MISSING' });
    const location = { repository: REPOSITORY, commit: COMMIT, directory: 'app-1', path: 'app-1/Dockerfile' };
    const source = claiming({ kind: 'buildkit-attestation', location, dockerfile: 'FROM scratch' }, '1');
    expect(codes(await resolveLineage('app:1', { sources: [source], host }))).toEqual(['SOURCE_NOT_FOUND']);
  });

  test('follows what is copied and mounted from other images, and names the frontend', async () => {
    const lineage = await resolve({
      'app-1':
        '# syntax=docker/dockerfile:1\nFROM tool:1 AS t\nFROM base:1\nCOPY --from=copied:1 a b\nRUN --mount=from=mounted:1,target=/m x',
      'base-1': 'FROM scratch',
      'tool-1': 'FROM scratch',
      'copied-1': 'FROM base:1',
      'mounted-1': 'FROM scratch',
    });
    expect(lineage.edges.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
      'base base:1',
      'base base:1',
      'copy-from copied:1',
      'frontend docker/dockerfile:1',
      'mount-from mounted:1',
      'stage tool:1',
    ]);
    expect(spine(lineage)).toHaveLength(2);
    expect(lineageToMermaid(lineage)).toContain('copy-from, claimed');
    expect(lineageToDot(lineage)).toContain('digraph lineage');
  });

  test('names a cycle instead of following it (attack row 37)', async () => {
    const lineage = await resolve({ 'app-1': 'FROM other:1', 'other-1': 'FROM app:1' });
    expect(codes(lineage)).toEqual(['LINEAGE_CYCLE']);
    expect(lineage.nodes.at(-1)?.end).toBe('cycle');
  });

  test('stops at the depth limit (attack row 37)', async () => {
    const lineage = await resolve(tower(50), 'app:0', { maxDepth: 5 });
    expect(lineage.nodes).toHaveLength(5);
    expect(codes(lineage)).toEqual(['LINEAGE_LIMIT']);
  });

  const tower = (height: number) =>
    Object.fromEntries(Array.from({ length: height }, (_item, at) => [`app-${at}`, `FROM app:${at + 1}`]));

  test('follows ten thousand images when it is told to (attack row 37)', async () => {
    const limits = { maxDepth: 20_000, maxImages: 20_000 };
    const lineage = await resolve({ ...tower(10_000), 'app-10000': 'FROM scratch' }, 'app:0', limits);
    expect(lineage.nodes).toHaveLength(10_001);
    expect(lineage.nodes.at(-1)?.end).toBe('scratch');
  });

  test('stops at 32 images deep when no limit is given', async () => {
    const lineage = await resolve(tower(50), 'app:0');
    expect(lineage.nodes).toHaveLength(32);
    expect(lineage.nodes.at(-1)?.end).toBe('depth-limit');
  });

  test.each([
    ['maxDepth', 'is 3 images deep'],
    ['maxImages', 'has 3 images'],
  ])('says that it was %s that stopped it', async (limit, message) => {
    const lineage = await resolve(tower(50), 'app:0', { [limit]: 3 });
    expect(lineage.nodes).toHaveLength(3);
    expect(lineage.gaps).toMatchObject([
      {
        code: 'LINEAGE_LIMIT',
        message: expect.stringContaining(`its base app:3 was not followed: the lineage ${message}`),
      },
    ]);
    expect(lineage.gaps[0]?.message).toContain(`(${limit})`);
  });

  test('counts what files are copied from by maxImages, and follows no more', async () => {
    const copies = [1, 2, 3, 4].map((at) => `COPY --from=tool:${at} a b`).join('\n');
    const tools = Object.fromEntries([1, 2, 3, 4].map((at) => [`tool-${at}`, 'FROM scratch']));
    const table = { 'app-1': `FROM scratch\n${copies}`, ...tools };
    const lineage = await resolve(table, 'app:1', { maxImages: 3 });
    expect(lineage.nodes).toHaveLength(3);
    expect(lineage.gaps.map(({ message }) => message)).toEqual(
      [3, 4].map(
        (at) =>
          `line ${at + 1} takes files from tool:${at}, which was not followed: the lineage has 3 images, which is the limit (maxImages)`,
      ),
    );
  });

  test.each([
    { maxDepth: 0 },
    { maxDepth: Number.NaN },
    { maxImages: 0 },
    { maxImages: 1.5 },
    { maxImages: -1 },
  ])('refuses the limit %j', async (limits) => {
    await expect(resolve({}, 'app:0', limits)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });

  test('says that FROM ${UNSET} cannot be known', async () => {
    const lineage = await resolve({ 'app-1': 'FROM ${UNSET}' });
    expect(codes(lineage)).toEqual(['BASE_UNRESOLVED']);
    expect(lineage.gaps[0]?.message).toContain('ARG UNSET has no value (line 1)');
  });

  test.each([
    ['GONE', 'commit-unreachable', 'SOURCE_COMMIT_NOT_FOUND'],
    ['MISSING', 'file-missing', 'SOURCE_NOT_FOUND'],
    ['DOWN', 'host-unreachable', 'SOURCE_UNREACHABLE'],
  ])('lets the claim stand when the bytes are missing: %s', async (text, status, code) => {
    const lineage = await resolve({ 'app-1': text });
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({ status, location: { commit: COMMIT } });
    expect(codes(lineage)).toContain(code);
    expect(codes(lineage)).toContain('BASE_UNRESOLVED');
    const gap = lineage.gaps.find((other) => other.code === code);
    expect(gap?.hint).toBe('Ask for another.');
  });

  test('keeps what the others say when one source cannot be asked', async () => {
    const { source, host } = sourcesOf({ 'app-1': 'FROM scratch' });
    const broken: ProvenanceSource = {
      kind: 'docker-hub-description',
      // biome-ignore lint/correctness/useYield: it fails before it yields
      async *claims() {
        throw new CoreError('SOURCE_UNREACHABLE', 'nobody answers');
      },
    };
    const lineage = await resolveLineage('app:1', { sources: [broken, source], host });
    expect(lineage.nodes[0]?.end).toBe('scratch');
    expect(codes(lineage)).toEqual(['SOURCE_UNREACHABLE']);
  });

  test('records sources that disagree', async () => {
    const { source, host } = sourcesOf({ 'app-1': 'FROM scratch' });
    const location = {
      repository: REPOSITORY,
      commit: 'b'.repeat(40),
      directory: 'app-1',
      path: 'app-1/Dockerfile',
    };
    const lineage = await resolveLineage('app:1', { sources: [source, claiming({ location }, '1')], host });
    expect(lineage.conflicts).toMatchObject([
      { about: 'source', statements: [{ kind: 'oci-annotation' }, { kind: 'official-images' }] },
    ]);
  });

  test('refuses a commit that is only in a fork as a gap (attack row 26)', async () => {
    const { source, host } = sourcesOf({ 'app-1': 'FROM scratch' });
    const lineage = await resolveLineage('app:1', {
      sources: [source],
      host: { ...host, reachability: async () => 'unreachable' },
    });
    expect(codes(lineage)).toEqual(['SOURCE_COMMIT_UNREACHABLE']);
    expect(lineage.nodes[0]?.dockerfile.reachability).toBe('unreachable');
  });

  test('rejects with the reason when aborted', async () => {
    const reason = new Error('enough');
    const { source, host } = sourcesOf({ 'app-1': 'FROM scratch' });
    const slow: ProvenanceSource = {
      kind: 'oci-annotation',
      async *claims(_subject, options) {
        await new Promise((_resolve, reject) =>
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
        );
      },
    };
    const controller = new AbortController();
    const waiting = resolveLineage('app:1', { sources: [source, slow], host, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 10);
    await expect(waiting).rejects.toBe(reason);
  });
});

describe('resolveLineage() with a registry', () => {
  const hub = serveDockerHub('each');

  const files = (name: string): readonly TestFile[] => [{ path: `srv/${name}`, content: name }];
  const copy = (name: string) => ({
    created: '2018-01-01T00:00:00Z',
    created_by: `COPY ${name} /srv/ # buildkit`,
  });
  const dockerfiles = {
    'base-1': 'FROM scratch\nCOPY base /srv/',
    'app-1': 'FROM base:1\nCOPY app /srv/',
  };

  async function family() {
    const base = await pushTestImage(hub.client, parseReference('base:1'), {
      layers: [files('base')],
      history: [copy('base')],
    });
    const app = await pushTestImage(hub.client, parseReference('app:1'), {
      base,
      layers: [files('app')],
      history: [copy('app')],
    });
    return { base, app };
  }
  const resolve = (
    extra: readonly ProvenanceSource[] = [],
    table: Record<string, string> = dockerfiles,
    options: Partial<ResolveLineageOptions> = {},
  ) => {
    const { source, host } = sourcesOf(table);
    return resolveLineage('app:1', { registry: hub.client, sources: [source, ...extra], host, ...options });
  };

  test('proves an edge by layers and history', async () => {
    await family();
    const lineage = await resolve();
    expect(edgeOf(lineage)).toMatchObject({ grade: 'proven' });
    expect(edgeOf(lineage)?.evidence.map(({ kind, verdict }) => `${kind} ${verdict}`)).toEqual([
      'dockerfile supports',
      'layers supports',
    ]);
    expect(lineage.nodes.map(({ dockerfile }) => dockerfile.consistency)).toEqual([
      'consistent',
      'consistent',
    ]);
    expect(lineage.gaps).toEqual([]);
  });

  test('says that the tag has moved, and does not call it a contradiction', async () => {
    await family();
    await pushTestImage(hub.client, parseReference('base:1'), {
      layers: [files('rebuilt')],
      history: [copy('base')],
    });
    const edge = edgeOf(await resolve());
    expect(edge?.grade).toBe('claimed');
    expect(edge?.evidence.at(-1)).toMatchObject({
      verdict: 'neutral',
      message: expect.stringContaining('has moved') as string,
    });
  });

  test('proves the edge at the digest a claim names, after the tag has moved', async () => {
    const { base } = await family();
    await pushTestImage(hub.client, parseReference('base:1'), {
      layers: [files('rebuilt')],
      history: [copy('base')],
    });
    const claim = claiming({ base: { reference: 'base:1', digest: base.manifest.digest } }, '1');
    expect(edgeOf(await resolve([claim]))?.grade).toBe('proven');
  });

  test('calls a named digest that is not the base a contradiction', async () => {
    await family();
    const other = await pushTestImage(hub.client, parseReference('base:other'), { layers: [files('other')] });
    const claim = claiming({ base: { reference: 'base:1', digest: other.manifest.digest } }, '1');
    expect(edgeOf(await resolve([claim]))).toMatchObject({ grade: 'contradicted' });
  });

  test('takes a prefix of empty layers as no proof', async () => {
    const base = await pushTestImage(hub.client, parseReference('base:1'), { layers: [], history: [] });
    await pushTestImage(hub.client, parseReference('app:1'), {
      base,
      layers: [files('app')],
      history: [copy('app')],
    });
    expect(edgeOf(await resolve())?.grade).toBe('claimed');
  });

  test('finds the instruction a wrong Dockerfile differs at', async () => {
    await family();
    const lineage = await resolve([], { ...dockerfiles, 'app-1': 'FROM base:1\nCOPY app /srv/\nRUN extra' });
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({
      consistency: 'inconsistent',
      inconsistency: { line: 3 },
    });
    const shorter = await resolve([], { ...dockerfiles, 'app-1': 'FROM base:1\nRUN other' });
    expect(shorter.nodes[0]?.dockerfile).toMatchObject({
      consistency: 'inconsistent',
      inconsistency: { line: 2, history: 1 },
    });
  });

  test('throws for an image nobody knows, and lets an unreachable registry be a gap', async () => {
    const { host } = sourcesOf({});
    await expect(resolveLineage('nobody:1', { registry: hub.client, sources: [], host })).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
    const nowhere = new RegistryClient({
      attempts: 1,
      hosts: { 'docker.io': { url: 'http://127.0.0.1:1' } },
    });
    const lineage = await resolveLineage('nobody:1', { registry: nowhere, sources: [], host });
    expect(codes(lineage)).toEqual(['UNREACHABLE', 'DOCKERFILE_NOT_NAMED', 'BASE_UNRESOLVED']);
    await nowhere.close();
  });

  test('stops at content that is not what its digest says', async () => {
    const { app } = await family();
    const { host, source } = sourcesOf(dockerfiles);
    const { digest } = app.manifest;
    const altered: Fetcher = {
      resolve: (...asked) => hub.client.resolve(...asked),
      openBlob: (...asked) => hub.client.openBlob(...asked),
      fetchManifest: async () => {
        throw new RegistryError('DIGEST_MISMATCH', 'other bytes');
      },
    };
    const asked = resolveLineage(`app:1@${digest}`, { registry: altered, sources: [source], host });
    await expect(asked).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  test('lets a registry that answers too late be a gap', async () => {
    const slow: Fetcher = {
      resolve: (...asked) => hub.client.resolve(...asked),
      openBlob: (...asked) => hub.client.openBlob(...asked),
      fetchManifest: async () => {
        throw new RegistryError('TIMEOUT', 'no answer');
      },
    };
    const { host } = sourcesOf({});
    const lineage = await resolveLineage('nobody:1', { registry: slow, sources: [], host });
    expect(codes(lineage)).toEqual(['TIMEOUT', 'DOCKERFILE_NOT_NAMED', 'BASE_UNRESOLVED']);
  });

  test('takes no base from a label, which an image inherits from its base', async () => {
    const label = claiming({ kind: 'image-label', base: { reference: 'base:1' } }, '1');
    await family();
    const lineage = await resolve([label], {});
    expect(lineage.edges).toEqual([]);
    expect(lineage.nodes[0]?.end).toBe('unresolved');
    const annotation = claiming({ base: { reference: 'base:1' } }, '1');
    expect(edgeOf(await resolve([label, annotation], {}))?.evidence.map(({ kind }) => kind)).toEqual([
      'oci-annotation',
      'layers',
    ]);
  });

  test('says that an image without a time may be younger than the day, unless a child proves that it was there', async () => {
    const config = { created: '1970-01-01T00:00:00Z' };
    const base = await pushTestImage(hub.client, parseReference('base:1'), {
      ...{ layers: [files('base')], history: [copy('base')], config },
    });
    await pushTestImage(hub.client, parseReference('app:1'), {
      ...{ base, layers: [files('app')], history: [copy('app')], config },
    });
    const asOf = new Date('2018-02-01');
    const proven = await resolve([], dockerfiles, { asOf });
    expect(edgeOf(proven)?.grade).toBe('proven');
    expect(proven.gaps.map(({ code, node }) => [code, node])).toEqual([
      ['IMAGE_TIME_UNKNOWN', 'docker.io/library/app:1 linux/amd64'],
    ]);
    await pushTestImage(hub.client, parseReference('base:1'), { layers: [files('new')], config });
    expect(codes(await resolve([], dockerfiles, { asOf }))).toEqual([
      'IMAGE_TIME_UNKNOWN',
      'IMAGE_TIME_UNKNOWN',
    ]);
    expect(codes(await resolve())).toEqual([]);
  });

  test("does not take today's image for the one of an earlier day", async () => {
    await family();
    const lineage = await resolve([], dockerfiles, { asOf: new Date('2017-01-01') });
    expect(lineage.nodes[0]?.image).toBeUndefined();
    expect(codes(lineage)).toContain('IMAGE_NEWER_THAN_AS_OF');
    expect(edgeOf(lineage)?.grade).toBe('claimed');
  });
});
