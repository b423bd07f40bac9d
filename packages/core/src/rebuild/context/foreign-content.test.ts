import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, formatReference, RegistryClient, resolveImage, scanImage } from '@imagevet/registry';
import { createRepository, type GitHost, startGitHost } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, dockerHost, startDockerRegistry } from '../../../../../test/services.ts';
import { resolveLineage } from '../../lineage/resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceEntry, SourceHost } from '../../lineage/types.ts';
import { gitMirrorHost } from '../../provenance/hosts/git/git-mirror.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';
import { planRebuild } from '../plan/plan-rebuild.ts';
import { rebuild } from '../rebuild.ts';
import type { Builder, BuildRequest, RebuildPlan } from '../types.ts';
import { findForeignContent, foreignContent } from './foreign-content.ts';
import { inspectContexts } from './inspect-contexts.ts';

const OID = 'c'.repeat(64);
const SUBMODULE = 'd'.repeat(40);
const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${OID}\nsize 12345\n`;
const REPOSITORY = 'https://git.example/org/apps';
const platform = { os: 'linux', architecture: 'amd64' };
const entry = (path: string, type: SourceEntry['type'], content: string): SourceEntry => ({
  path,
  type,
  content: Buffer.from(content),
});

describe('findForeignContent()', () => {
  const lineOf = (
    text: string,
    triggers: readonly (readonly [number, string])[] = [],
    others: readonly SourceEntry[] = [],
  ) =>
    findForeignContent(
      [entry('vendor/lib', 'submodule', SUBMODULE), ...others],
      { repository: REPOSITORY, commit: 'a'.repeat(40) },
      { text: `FROM scratch AS one\n${text}`, platform, triggers },
    )[0]?.line;

  test.each([
    ['COPY src /src', undefined],
    ['COPY src vendor/lib', undefined],
    ['COPY --from=one vendor /v', undefined],
    ['ADD https://host.example/vendor/lib /v', undefined],
    ['COPY vendorlib v*r/other /v', undefined],
    ['RUN --mount=type=cache,target=/vendor true', undefined],
    ['RUN --mount=from=one,target=/vendor true', undefined],
    ['ONBUILD COPY . /', undefined],
    ['COPY <<end /vendor/lib\nx\nend', undefined],
    ['COPY . /', 2],
    ['COPY ./ /', 2],
    ['ADD vendor/ /v', 2],
    ['COPY vendor/lib/deep/file /v', 2],
    ['COPY --chown=1 src /vendor/../vendor/lib /v', 2],
    ['COPY ["src", "vendor/lib", "/v"]', 2],
    ['COPY "vendor/lib" /v', 2],
    ['COPY v*/l?b /v', 2],
    ['COPY src \\\n  vendor /v', 2],
    ['ARG D=vendor\nCOPY $D /v', 3],
    ['RUN --mount=target=/v true', 2],
    ['RUN --mount=type=bind,src=vendor,target=/v true', 2],
    ['RUN --mount=type=bind,source=src,target=/v true', undefined],
    ['ONBUILD COPY . /\nFROM one', 2],
  ])('tells whether %j reads a submodule', (text, expected) => {
    expect(lineOf(text)).toBe(expected);
  });

  test('follows what triggers of the base copy, and what links lead to', () => {
    expect(lineOf('RUN x', [[1, 'COPY . /app']])).toBe(1);
    expect(lineOf('RUN x', [[1, 'COPY package.json /app']])).toBeUndefined();
    expect(lineOf('RUN x', [[1, 'no instruction at all']])).toBe(1);
    const link = [entry('src/deps', 'symlink', '../vendor')];
    expect(lineOf('COPY src/deps /v', [], link)).toBe(2);
    expect(lineOf('COPY src/deps/a /v', [], link)).toBe(2);
    // A link that is copied along stays a link.
    expect(lineOf('COPY src /v', [], link)).toBeUndefined();
  });

  test('takes for a pointer what git-lfs writes, and no more', () => {
    const of = (type: SourceEntry['type'], content: string) => foreignContent(entry('x', type, content));
    expect(of('file', POINTER)).toEqual({ code: 'context-lfs-pointer', content: `sha256:${OID}` });
    expect(of('executable', POINTER.replace('git-lfs', 'hawser'))?.code).toBe('context-lfs-pointer');
    expect(of('file', POINTER.replace('oid', 'ext-0-foo sha256:1\noid'))?.content).toBe(`sha256:${OID}`);
    expect(of('file', 'version https://git-lfs.github.com/spec/v1\n')).toEqual({
      code: 'context-lfs-pointer',
    });
    expect(of('symlink', POINTER)).toBeUndefined();
    expect(of('file', POINTER + ' '.repeat(1024))).toBeUndefined();
    expect(of('file', `# ${POINTER}`)).toBeUndefined();
    expect(of('submodule', SUBMODULE)).toEqual({ code: 'context-submodule', content: SUBMODULE });
  });

  test('takes any bytes and any sources', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.string().map((text) => Buffer.from(`version https://git-lfs.github.com/spec/v1\n${text}`)),
    );
    fc.assert(
      fc.property(bytes, fc.array(fc.string({ minLength: 1 }), { minLength: 2 }), (content, words) => {
        const found = foreignContent({ type: 'file', content });
        const starts = Buffer.from(content).toString('latin1').startsWith('version https://git-lfs');
        if (!starts) expect(found).toBeUndefined();
        const text = `COPY ${JSON.stringify(words)}`;
        // Whatever else is copied: with the whole context the submodule is.
        expect(lineOf(`${text}\nCOPY . /`)).toBeDefined();
      }),
    );
  });
});

describe('rebuild() of a context that is not whole', () => {
  let directory: string;
  let git: GitHost;
  let host: SourceHost;
  let plan: RebuildPlan;
  let commit: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imagevet-foreign-'));
    const outside = {
      'outside-1/Dockerfile': 'FROM scratch\nCOPY src /src/\n',
      'outside-1/src/a': 'a',
      'outside-1/vendor': { submodule: SUBMODULE },
      'outside-1/docs/film.mp4': POINTER,
    };
    const module = {
      'module-1/Dockerfile': 'FROM outside:1\nCOPY . /app/\n',
      'module-1/vendor': { submodule: SUBMODULE },
    };
    const pointer = {
      'pointer-1/Dockerfile': 'FROM module:1\nLABEL x=y\nADD rootfs.bin /\n',
      'pointer-1/rootfs.bin': POINTER,
    };
    const repository = await createRepository(directory, [
      { files: { ...outside, ...module, ...pointer }, message: 'Add', date: '2026-01-02T03:04:05Z' },
    ]);
    [commit = ''] = repository.commits;
    git = await startGitHost({ repositories: { 'org/apps': repository.path } });
    host = gitMirrorHost({ directory, remotes: { [REPOSITORY]: git.cloneUrl('org/apps') }, hosts: [] });
    plan = await planFor('registry.internal');
  });
  afterAll(async () => {
    await git.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const lineageOf = (image: string) => {
    const source: ProvenanceSource = {
      kind: 'official-images',
      async *claims({ reference }) {
        const name = `${reference.repository.replace('library/', '')}-${reference.tag}`;
        const location = { repository: REPOSITORY, commit, directory: name, path: `${name}/Dockerfile` };
        yield { kind: 'official-images', foundAt: 'x', location };
      },
    };
    return resolveLineage(image, { sources: [source], host });
  };
  const planFor = async (registry: string) =>
    planRebuild([await lineageOf('pointer:1')], { target: { registry, repositoryPrefix: 'vetted' } });
  /** A builder whose registry is a map. */
  const remembering = (images = new Map<string, Awaited<ReturnType<Builder['build']>>>()) => {
    const requests: BuildRequest[] = [];
    const builder: Builder = {
      name: 'remembering',
      probe: async () => ({ name: 'remembering', version: '1', platform }),
      find: async ({ target }) => images.get(formatReference(target)),
      build: async (request) => {
        requests.push(request);
        const digest = digestOf(formatReference(request.target));
        const descriptor = { mediaType: 'm', digest, size: 1 };
        const image = { reference: { ...request.target, digest }, descriptor, diffIds: [], imageId: digest };
        images.set(formatReference(request.target), image);
        return image;
      },
    };
    return { builder, requests, images };
  };
  const about = (name: string, path: string) => ({
    repository: REPOSITORY,
    commit,
    path,
    step: stepOf(name),
  });
  const stepOf = (name: string) => `docker.io/library/${name}:1 linux/amd64`;

  test('names every submodule and pointer of a plan, and the line that copies it', async () => {
    expect(await inspectContexts(plan, { host })).toEqual([
      { code: 'context-lfs-pointer', ...about('outside', 'docs/film.mp4'), content: `sha256:${OID}` },
      { code: 'context-submodule', ...about('outside', 'vendor'), content: SUBMODULE },
      { code: 'context-submodule', ...about('module', 'vendor'), content: SUBMODULE, line: 2 },
      { code: 'context-lfs-pointer', ...about('pointer', 'rootfs.bin'), content: `sha256:${OID}`, line: 3 },
    ]);
  });

  test('plans with the triggers of a public base, of its rebuild, and of one nobody saw', async () => {
    const copying = 'FROM scratch\nONBUILD COPY . /app/\n';
    const triggersWith = async (text: string, OnBuild?: readonly string[]) => {
      const lineage = await lineageOf('module:1');
      const nodes = lineage.nodes.map((node) => {
        if (node.reference.repository !== 'library/outside') return node;
        const image = OnBuild === undefined ? undefined : { manifest: {}, execution: { OnBuild } };
        return { ...node, image, dockerfile: { ...node.dockerfile, text } };
      }) as Lineage['nodes'];
      const target = { registry: 'r.example', repositoryPrefix: 'v' };
      return planRebuild([{ ...lineage, nodes }], { target }).steps.at(-1)?.triggers;
    };
    expect(await triggersWith('FROM scratch\n', ['COPY x /'])).toEqual([[1, 'COPY x /']]);
    expect(await triggersWith(copying, [])).toEqual([[1, 'COPY . /app/']]);
    expect(await triggersWith('FROM scratch\n', [])).toBeUndefined();
  });

  test('row 31: builds what copies none of it, and denies what does', async () => {
    const { builder, requests } = remembering();
    const { outcomes } = await rebuild(plan, { builder, host });
    expect(outcomes).toMatchObject([
      { step: stepOf('outside'), status: 'built', findings: [{ path: 'docs/film.mp4' }, { path: 'vendor' }] },
      {
        step: stepOf('module'),
        status: 'failed',
        code: 'SOURCE_UNSUPPORTED',
        message: expect.stringMatching(/^line 2 copies vendor of .* is a submodule \(d{40}\)/),
        log: [expect.stringContaining('context-submodule: vendor')],
      },
      { step: stepOf('pointer'), status: 'skipped' },
    ]);
    expect(requests).toHaveLength(1);
  });

  test('builds it when told to, under a tag that stands for nothing else', async () => {
    const { builder, requests, images } = remembering();
    const allowed = await rebuild(plan, { builder, host, incompleteContext: 'allow' });
    expect(allowed.outcomes).toMatchObject([
      { status: 'built' },
      { status: 'built', findings: [{ code: 'context-submodule', line: 2 }] },
      { status: 'built', findings: [{ code: 'context-lfs-pointer', line: 3 }] },
    ]);
    expect(requests).toHaveLength(3);
    const again = remembering(images);
    const second = await rebuild(plan, { builder: again.builder, host, incompleteContext: 'allow' });
    expect(second.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual([
      true,
      true,
      true,
    ]);
    expect(second.outcomes[1]).toMatchObject({ findings: [{ code: 'context-submodule', line: 2 }] });
    const strict = await rebuild(plan, { builder: again.builder, host });
    expect(strict.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'skipped']);
    expect(again.requests).toEqual([]);
  });

  test.skipIf(!available('docker-engine', 'docker-registry'))(
    'gives an engine an empty directory, and the text of the pointer',
    async () => {
      const registry = await startDockerRegistry();
      const client = new RegistryClient({ attempts: 2 });
      const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
      const own = await planFor(registry.host);
      const { outcomes } = await rebuild(own, { builder, host, incompleteContext: 'allow' });
      const last = outcomes.at(-1);
      if (last?.status !== 'built') throw new Error(JSON.stringify(last));
      const scan = await scanImage(await resolveImage(last.image.reference, { source: client, platform }), {
        source: client,
        keepContent: /rootfs\.bin$/,
      });
      const entries = scan.layers.flatMap((layer) => layer.entries);
      expect(entries.filter(({ path }) => path.startsWith('/app/vendor'))).toMatchObject([
        { type: 'directory' },
      ]);
      expect(entries.find(({ path }) => path === '/rootfs.bin')?.content).toEqual(
        new Uint8Array(Buffer.from(POINTER)),
      );
      await client.close();
      await registry.close();
    },
  );
});
