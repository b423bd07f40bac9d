import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  createRepository,
  type GitHost,
  type RepositoryMark,
  startGitHost,
} from '@imagevet/registry/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Lineage, SourceHost } from '../lineage/types.ts';
import { gitHubHost } from '../provenance/hosts/api/github.ts';
import { gitMirrorHost } from '../provenance/hosts/git/git-mirror.ts';
import { type Family, startFamily } from './__fixtures__/family.ts';
import { checkDrift } from './check-drift.ts';
import type { RefReader } from './types.ts';
import { type DriftNotice, watch } from './watch.ts';

const run = promisify(execFile);
const GITHUB = 'https://github.com/acme/app';

let family: Family;
let directory: string;
let path: string;
let server: GitHost;
/** The commit the image was built from, and another one that no branch or tag holds. */
let built: string;
let imposter: string;

const repositories: Record<string, string> = {};
const identities: Record<string, RepositoryMark> = {};
const moved: Record<string, string> = {};

beforeEach(async () => {
  family = await startFamily();
  directory = await mkdtemp(join(tmpdir(), 'imagevet-drift-'));
  path = join(directory, 'app.git');
  const dockerfile = (text: string) => ({ Dockerfile: `FROM scratch\nLABEL made=${text}\n` });
  const date = '2020-01-01T00:00:00Z';
  const { commits } = await createRepository(path, [
    { files: { readme: 'first' }, message: 'first', date },
    { files: dockerfile('ours'), message: 'ours', date, branch: 'release', tags: ['v1'] },
    { files: dockerfile('theirs'), message: 'theirs', date, branch: 'gone', parent: null },
  ]);
  [, built, imposter] = commits as [string, string, string];
  await git('update-ref', '-d', 'refs/heads/gone');
  for (const changed of [repositories, identities, moved])
    for (const name of Object.keys(changed)) delete changed[name];
  repositories['acme/app'] = path;
  server = await startGitHost({ repositories, identities, moved });
  await family.push('app:1');
});

afterEach(async () => {
  await Promise.all([family.registry.close(), server.close()]);
  await rm(directory, { recursive: true });
});

const git = (...args: readonly string[]) => run('git', [`--git-dir=${path}`, ...args]);
const id = () => `${family.text('app:1')} linux/amd64`;
const lineageAt = (host: SourceHost, ref?: string): Promise<Lineage> => {
  const location = { repository: GITHUB, commit: built, directory: '.', path: 'Dockerfile' };
  family.claim('app:1', { location: { ...location, ...(ref === undefined ? {} : { ref }) } });
  return family.lineage('app:1', host);
};
const check = async (lineage: Lineage, sources?: SourceHost & Partial<RefReader>) =>
  checkDrift([lineage], { source: family.client, ...(sources === undefined ? {} : { sources }) });

/** A host that cannot tell what a ref names. */
const withoutRefs = (host: SourceHost): SourceHost => ({
  supports: (repository) => host.supports(repository),
  readFile: (...call) => host.readFile(...call),
  readDirectory: (...call) => host.readDirectory(...call),
  commitOf: (...call) => host.commitOf(...call),
  reachability: (...call) => host.reachability(...call),
});

const HOSTS: readonly [name: string, open: () => SourceHost & RefReader][] = [
  ['a clone on disk', () => gitMirrorHost({ directory, remotes: { [GITHUB]: path } })],
  [
    'a mirror',
    () =>
      gitMirrorHost({
        directory: join(directory, 'mirrors'),
        remotes: { [GITHUB]: server.cloneUrl('acme/app') },
        maxAgeMs: 0,
      }),
  ],
  [
    "GitHub's API",
    () => gitHubHost({ apiUrl: server.apiUrl, rawUrl: server.rawUrl, archiveUrl: server.url, retries: 0 }),
  ],
];

describe('checkDrift() of repositories that changed hands (attack row 28)', () => {
  const gitHub = () =>
    gitHubHost({ apiUrl: server.apiUrl, rawUrl: server.rawUrl, archiveUrl: server.url, retries: 0 });

  test('reports a name that leads to another repository, once, with all that were taken from it', async () => {
    const lineage = await lineageAt(gitHub(), 'refs/tags/v1');
    const was = lineage.nodes[0]?.dockerfile.repository?.id;
    const nodes = lineage.nodes.map(({ dockerfile, ...node }) => {
      const { ref: _, ...location } = dockerfile.location!;
      return { ...node, dockerfile: { ...dockerfile, location } };
    });
    const sameName = { ...lineage, nodes };
    identities['acme/app'] = { id: 7_000_000, createdAt: '2026-01-01T00:00:00Z' };
    const options = { source: family.client, sources: gitHub() };
    const { events, sources } = await checkDrift([lineage, sameName], options);
    expect(events).toEqual([
      {
        ...{ type: 'source-replaced', repository: GITHUB, was, now: 'github.com/7000000' },
        affects: [id()],
      },
    ]);
    // The commit itself is there: what is pushed anew has the same id only if it is the same.
    expect(sources.map(({ state }) => state)).toEqual(['unchanged', 'unchanged']);
  });

  test('says nothing of a repository that was renamed, and asks no more than once for it', async () => {
    const lineage = await lineageAt(gitHub(), 'refs/tags/v1');
    const mark = lineage.nodes[0]?.dockerfile.repository;
    moved['acme/app'] = 'acme/better';
    repositories['acme/better'] = path;
    delete repositories['acme/app'];
    identities['acme/better'] = { id: Number(mark?.id.split('/')[1]), createdAt: '2013-06-01T00:00:00Z' };
    const { events } = await check(lineage, gitHub());
    expect(events).toEqual([]);
    const now = await lineageAt(gitHub(), 'refs/tags/v1');
    expect(now.nodes[0]?.dockerfile.repository).toEqual({
      ...{ id: mark?.id, repository: 'https://github.com/acme/better' },
      ...{ createdAt: '2013-06-01T00:00:00.000Z', state: 'renamed' },
    });
    expect(now.gaps).toEqual(lineage.gaps);
  });
});

describe.each(HOSTS)('checkDrift() with %s', (_name, open) => {
  test('says nothing of a tag that names the commit', async () => {
    const host = open();
    const { events, sources } = await check(await lineageAt(host, 'refs/tags/v1'), host);
    expect(events).toEqual([]);
    const place = { repository: GITHUB, ref: 'refs/tags/v1', commit: built };
    expect(sources).toEqual([{ ...place, state: 'unchanged', now: built }]);
  });

  test('attack row 27: reports a tag that was force-moved to a commit of nobody, and the commit that is lost', async () => {
    const host = open();
    const lineage = await lineageAt(host, 'refs/tags/v1');
    await git('update-ref', 'refs/tags/v1', imposter);
    await git('update-ref', '-d', 'refs/heads/release');
    const { events, sources } = await check(lineage, host);
    const place = { repository: GITHUB, ref: 'refs/tags/v1', was: built, affects: [id()] };
    expect(events).toEqual([
      { type: 'source-moved', ...place, now: imposter },
      { type: 'source-gone', ...place },
    ]);
    expect(sources).toMatchObject([{ state: 'gone', now: imposter }]);
  });

  test('tells a tag that moved from a commit that is lost', async () => {
    const host = open();
    const lineage = await lineageAt(host, 'refs/tags/v1');
    await git('update-ref', 'refs/tags/v1', imposter);
    const { events, sources } = await check(lineage, host);
    expect(events).toMatchObject([{ type: 'source-moved', was: built, now: imposter }]);
    expect(sources).toMatchObject([{ state: 'moved' }]);
  });

  test('reports a tag that was removed', async () => {
    const host = open();
    const lineage = await lineageAt(host, 'refs/tags/v1');
    await git('update-ref', '-d', 'refs/tags/v1');
    const { events } = await check(lineage, host);
    const place = { repository: GITHUB, ref: 'refs/tags/v1', was: built, affects: [id()] };
    expect(events).toEqual([{ type: 'source-moved', ...place }]);
  });

  test('reports a commit that is lost where no ref was named', async () => {
    const host = open();
    const lineage = await lineageAt(host);
    expect((await check(lineage, host)).events).toEqual([]);
    for (const ref of ['refs/tags/v1', 'refs/heads/release']) await git('update-ref', '-d', ref);
    const { events } = await check(lineage, host);
    expect(events).toEqual([{ type: 'source-gone', repository: GITHUB, was: built, affects: [id()] }]);
  });
});

describe('checkDrift() on sources', () => {
  const open = HOSTS[0]![1];

  test('asks no repository without sources, and one that no host reads is unknown', async () => {
    const lineage = await lineageAt(open(), 'refs/tags/v1');
    await git('update-ref', 'refs/tags/v1', imposter);
    for (const sources of [undefined, gitMirrorHost({ directory, hosts: [] })]) {
      const report = await check(lineage, sources);
      expect(report.events).toEqual([]);
      expect(report.sources).toMatchObject([{ state: 'unknown' }]);
    }
  });

  test('cannot tell a moved tag with a host that reads no refs, and does not say unchanged', async () => {
    const host = open();
    const lineage = await lineageAt(host, 'refs/tags/v1');
    expect((await check(lineage, withoutRefs(host))).sources).toMatchObject([{ state: 'unknown' }]);
  });

  test('says nothing new of a commit that the lineage found in no branch', async () => {
    const host = open();
    for (const ref of ['refs/tags/v1', 'refs/heads/release']) await git('update-ref', '-d', ref);
    const { events, sources } = await check(await lineageAt(host), host);
    expect(events).toEqual([]);
    expect(sources).toMatchObject([{ state: 'gone' }]);
  });

  test('reports a repository that cannot be asked, and in a watch once until it answers', async () => {
    const host = open();
    const lineage = await lineageAt(host, 'refs/tags/v1');
    await git('update-ref', 'refs/tags/v1', imposter);
    let answered = 0;
    const sources: SourceHost & RefReader = {
      ...withoutRefs(host),
      refOf: (...call) =>
        host.refOf(...call).finally(() => {
          answered += 1;
        }),
    };
    const notices = watch([lineage], { source: family.client, sources, intervalMs: 10 });
    const next = async (): Promise<DriftNotice> => (await notices.next()).value;
    expect((await next()).event.type).toBe('source-moved');
    await rename(path, `${path}.away`);
    expect((await next()).event).toMatchObject({
      type: 'source-unreachable',
      repository: GITHUB,
      ref: 'refs/tags/v1',
      was: built,
      error: { code: 'SOURCE_UNREACHABLE' },
      affects: [id()],
    });
    const recovered = next();
    await expect.poll(() => answered).toBeGreaterThan(4);
    await rename(`${path}.away`, path);
    const before = answered;
    await expect.poll(() => answered).toBeGreaterThan(before + 2);
    await git('update-ref', 'refs/tags/v1', built);
    await expect.poll(() => answered).toBeGreaterThan(before + 4);
    await git('update-ref', '-d', 'refs/tags/v1');
    const { event, lineages } = await recovered;
    expect(event).toMatchObject({ type: 'source-moved', was: built });
    expect(event).not.toHaveProperty('now');
    expect(lineages).toEqual([{ lineage }]);
  });
});
