// Rows of the attack matrix about sources, names and Dockerfiles, each as far as the verdict.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference, RegistryClient } from '@imagevet/registry';
import {
  createRepository,
  type GitHost,
  pushTestImage,
  type RepositoryCommit,
  type RepositoryMark,
  startGitHost,
  startRegistry,
  type TestRegistry,
} from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProvenanceClaim, ProvenanceSource, SourceHost } from '../lineage/types.ts';
import { defaultPolicy } from '../policy/default-policy.ts';
import type { Policy } from '../policy/types.ts';
import { gitHubHost } from '../provenance/hosts/api/github.ts';
import { gitMirrorHost } from '../provenance/hosts/git/git-mirror.ts';
import type { VetReport } from '../report/types.ts';
import { vet } from './vet.ts';

const ROOT = 'https://github.com/example/app';
const FILES = { Dockerfile: 'FROM scratch\nCOPY x /\n', x: 'x' };
const DATE = '2024-01-01T00:00:00Z';

let directory: string;
let registry: TestRegistry;
let client: RegistryClient;
let git: GitHost;
let commits: readonly string[];
const repositories: Record<string, string> = {};
const identities: Record<string, RepositoryMark> = {};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-rows-'));
  registry = await startRegistry();
  client = new RegistryClient({ hosts: { 'docker.io': { url: registry.url } } });
  const made = await make('example/app', [
    { files: FILES, message: 'one', date: DATE, tags: ['main'], branch: 'main' },
    { files: { x: 'two' }, message: 'two', date: DATE, branch: 'main' },
    { files: { x: 'evil' }, message: 'of a fork', date: DATE, branch: 'gone' },
    { files: { x: 'kept' }, message: 'kept', date: DATE, branch: 'gone', parent: null },
  ]);
  commits = made;
  git = await startGitHost({ repositories, identities });
  await pushTestImage(client, parseReference('app:1'), {
    layers: [[{ path: 'x', content: 'x' }]],
    history: [{ created_by: 'COPY x / # buildkit', comment: 'buildkit.dockerfile.v0' }],
  });
});
afterAll(async () => {
  await client.close();
  await registry.close();
  await git.close();
  rmSync(directory, { recursive: true, force: true });
});

async function make(name: string, history: readonly RepositoryCommit[]): Promise<readonly string[]> {
  const made = await createRepository(join(directory, name.replace('/', '+')), history);
  repositories[name] = made.path;
  return made.commits;
}

const gitHub = (): SourceHost =>
  gitHubHost({ apiUrl: git.apiUrl, rawUrl: git.rawUrl, archiveUrl: git.url, retries: 0 });
const mirror = (): SourceHost =>
  gitMirrorHost({
    directory: join(directory, 'mirrors'),
    remotes: Object.fromEntries(
      Object.keys(repositories).map((name) => [`https://github.com/${name}`, git.cloneUrl(name)]),
    ),
    hosts: [],
  });

const at = (commit: string | undefined, extra: Partial<NonNullable<ProvenanceClaim['location']>> = {}) => ({
  ...{ repository: ROOT, commit: commit ?? '', directory: '.', path: 'Dockerfile' },
  ...extra,
});

const saying = (kind: ProvenanceClaim['kind'], claim: Partial<ProvenanceClaim>): ProvenanceSource => ({
  kind,
  async *claims({ reference }) {
    if (reference.repository === 'library/app') yield { kind, foundAt: kind, ...claim };
  },
});

async function judge(
  sources: readonly ProvenanceSource[],
  { host = gitHub(), policy = defaultPolicy }: { readonly host?: SourceHost; readonly policy?: Policy } = {},
): Promise<VetReport> {
  return vet('app:1', { registry: client, sources, host, policy });
}

/** What was not passed, by code. */
const failures = ({ verdict }: VetReport) =>
  verdict.reasons.filter(({ outcome }) => outcome !== 'pass').map(({ code }) => code);

describe.each([
  ['GitHub', gitHub],
  ['a mirror', mirror],
])('read from %s', (kind, host) => {
  test('what is in a branch is no reason against it', async () => {
    const report = await judge([saying('official-images', { location: at(commits[0]) })], { host: host() });
    expect(report.lineage.nodes[0]?.dockerfile).toMatchObject({ status: 'found', reachability: 'reachable' });
    expect(failures(report).filter((code) => code.startsWith('source.'))).toEqual([]);
  });

  test('row 26: a commit only a fork has is denied', async () => {
    const report = await judge([saying('official-images', { location: at(commits[2]) })], { host: host() });
    expect(report.verdict.decision).toBe('deny');
    expect(failures(report)).toContain(
      kind === 'GitHub' ? 'source.commit-unreachable' : 'source.commit-gone',
    );
  });

  test("row 27: a tag that was moved to a commit of a fork does not make it the repository's own", async () => {
    const location = at(commits[2], { ref: 'refs/tags/main' });
    const report = await judge([saying('official-images', { location })], { host: host() });
    expect(report.verdict.decision).toBe('deny');
    expect(failures(report)).toContain(
      kind === 'GitHub' ? 'source.commit-unreachable' : 'source.commit-gone',
    );
  });

  test('row 30: a branch and a tag of one name are two, and a ref is no option of git', async () => {
    const asked = async (ref: string, commit = commits[1]) => {
      const report = await judge([saying('official-images', { location: at(commit, { ref }) })], {
        host: host(),
      });
      return report.lineage.nodes[0]?.dockerfile.reachability;
    };
    // The tag `main` is at the first commit, the branch `main` at the second.
    expect(await asked('refs/heads/main')).toBe('reachable');
    expect(await asked('refs/tags/main', commits[0])).toBe('reachable');
    const trace = join(directory, 'trace');
    for (const ref of [
      `--upload-pack=touch ${trace}`,
      `refs/heads/--upload-pack=touch ${trace}`,
      '-',
      'refs/heads/x..y',
      'refs/heads/a\nb',
    ]) {
      expect(await asked(ref)).toBeDefined();
      expect(await asked(ref, commits[2])).not.toBe('reachable');
    }
    for (const commit of ['--help', `--output=${trace}`, 'main', 'HEAD', `${commits[0]}^`]) {
      const report = await judge([saying('official-images', { location: at(commit) })], { host: host() });
      expect(report.lineage.nodes[0]?.dockerfile.text).toBeUndefined();
      expect(report.verdict.decision).toBe('deny');
    }
    expect(existsSync(trace)).toBe(false);
  });
});

describe('row 28: a repository whose name was registered again', () => {
  // The image was made on 2018-01-03 at 20:28:52.
  const from = async (kind: ProvenanceClaim['kind'], createdAt: string, location = at(commits[0])) => {
    identities['example/app'] = { id: 28, createdAt };
    const report = await judge([saying(kind, { location })]);
    const { repository } = report.lineage.nodes[0]?.dockerfile ?? {};
    const told = report.lineage.gaps.some(({ code }) => code === 'SOURCE_REPOSITORY_REPLACED');
    return { state: repository?.state, told, failures: failures(report), report };
  };

  afterAll(() => {
    delete identities['example/app'];
  });

  test('is denied where the image named it before it was made', async () => {
    for (const kind of ['oci-annotation', 'buildkit-attestation', 'image-label'] as const) {
      const { report, ...found } = await from(kind, '2018-03-01T00:00:00Z');
      expect(report.verdict.decision).toBe('deny');
      expect(found).toMatchObject({ state: 'younger', told: true });
      expect(found.failures).toContain('source.repository-replaced');
    }
  });

  test('is known though it does not have the commit', async () => {
    const found = await from('oci-annotation', '2018-03-01T00:00:00Z', at('0'.repeat(40)));
    expect(found).toMatchObject({ state: 'younger', told: true });
    expect(found.failures).toContain('source.commit-gone');
  });

  test('is nothing against one that was there, or was made while the image was', async () => {
    for (const createdAt of ['2018-01-02T00:00:00Z', '2018-01-04T12:00:00Z']) {
      const found = await from('oci-annotation', createdAt);
      expect(found).toMatchObject({ state: 'as-named', told: false });
      expect(found.failures).not.toContain('source.repository-replaced');
    }
  });

  test('cannot be told from what is said today, and can from what was said on a day', async () => {
    expect(await from('official-images', '2018-03-01T00:00:00Z')).toMatchObject({ state: 'as-named' });
    identities['example/app'] = { id: 28, createdAt: '2018-03-01T00:00:00Z' };
    const sources = [saying('official-images', { location: at(commits[0]) })];
    const options = { registry: client, sources, host: gitHub(), asOf: new Date('2018-02-01') };
    const { lineage } = await vet('app:1', { ...options, policy: defaultPolicy });
    expect(lineage.nodes[0]?.dockerfile.repository?.state).toBe('younger');
  });
});

describe('claims that disagree', () => {
  const label = 'https://github.com/evil/app';

  test('row 29: a repository another source does not name is a conflict, and one the policy does not list is denied', async () => {
    const own = saying('official-images', { location: at(commits[0]) });
    const other = saying('oci-annotation', { location: at(commits[0], { repository: label }) });
    const report = await judge([own, other]);
    expect(report.verdict.decision).toBe('deny');
    expect(failures(report)).toContain('lineage.conflict');
    const policy: Policy = {
      ...defaultPolicy,
      rules: [
        ...defaultPolicy.rules,
        { rule: 'source.repositories', allow: ['https://github.com/trusted/*'] },
      ],
    };
    const alone = await judge([own], { policy });
    expect(failures(alone)).toContain('source.repository-not-allowed');
  });
});

describe('names and Dockerfiles', () => {
  /** The report of an image of this Dockerfile. */
  const built = async (dockerfile: string) => {
    const name = `example/d${Object.keys(repositories).length}`;
    const [commit] = await make(name, [
      { files: { Dockerfile: dockerfile, x: 'x' }, message: 'one', date: DATE, branch: 'main' },
    ]);
    const location = {
      repository: `https://github.com/${name}`,
      commit: commit ?? '',
      directory: '.',
      path: 'Dockerfile',
    };
    return judge([saying('official-images', { location })]);
  };
  const findings = ({ findings: found }: VetReport) => found.map(({ rule }) => rule);

  test('row 32: backslashes, brackets and dollars without end are read to an end', async () => {
    for (const bait of ['\\', '${', '${a:-', '[', '`', '"', '<<A ', '#{', 'a:', '@sha256:']) {
      const report = await built(`FROM scratch\nLABEL x=${bait.repeat(100_000)}\nCOPY x /`);
      expect(report.verdict.decision).toBe('deny');
      const base = await built(`FROM ${bait.repeat(100_000)}\nCOPY x /`);
      expect(base.verdict.decision).toBe('deny');
    }
  }, 120_000);

  test('row 33: what FROM means is what BuildKit takes it for', async () => {
    const bases = async (dockerfile: string) => {
      const { lineage } = await built(dockerfile);
      return lineage.edges.map(
        ({ kind, to }) => `${kind} ${to.split(' ')[0]?.replace('docker.io/library/', '')}`,
      );
    };
    expect(await bases('FROM ${X}\nCOPY x /')).toEqual([]);
    expect(await bases('ARG V=2\nFROM base:$V\nCOPY x /')).toEqual(['base base:2']);
    expect(await bases('FROM a AS php\nFROM php\nCOPY x /')).toEqual(['base a:latest']);
    expect(await bases('FROM scratch\nCOPY --from=tool:1 x /')).toEqual(['copy-from tool:1']);
    expect(await bases('FROM scratch\nRUN --mount=from=tool:2,target=/t x')).toEqual(['mount-from tool:2']);
    expect(await bases('FROM scratch\nRUN <<E\nFROM evil\nE\nCOPY x /')).toEqual([]);
    expect(await bases('# escape=`\nFROM base:3\nRUN dir c:\\\nCOPY x /')).toEqual(['base base:3']);
    expect(await bases('\ufeffFROM base:4\nCOPY x /')).toEqual(['base base:4']);
    // Lines end in a line feed: with carriage returns alone it is one line, which BuildKit refuses.
    expect(await bases('FROM base:5\rCOPY x /\r')).toEqual([]);
    expect(await bases('FROM base:6\r\nCOPY x /\r\n')).toEqual(['base base:6']);
  });

  test('row 34: a frontend the policy does not list is denied', async () => {
    const report = await built('# syntax=attacker/frontend:1\nFROM scratch\nCOPY x /');
    expect(report.verdict.decision).toBe('deny');
    expect(failures(report)).toContain('rebuild.frontend-not-allowed');
    expect(registry.requests.filter((line) => line.includes('attacker'))).toEqual([]);
  });

  test('row 35: what ADD names is not fetched, and addresses nobody outside can reach are findings', async () => {
    const before = git.requests.length;
    const dockerfile = ['FROM scratch', `ADD ${git.url}/raw/example/app/${commits[0]}/x /y`];
    for (const url of [
      'http://169.254.169.254/latest/',
      'http://[::ffff:127.0.0.1]/',
      'http://2130706433/',
      'file:///etc/passwd',
    ])
      dockerfile.push(`ADD ${url} /z`);
    const report = await built(dockerfile.join('\n'));
    expect(git.requests.slice(before).filter(({ url }) => url.endsWith('/x'))).toEqual([]);
    expect(findings(report).filter((rule) => rule === 'VET035').length).toBeGreaterThanOrEqual(3);
    expect(failures(report)).toContain('audit.finding');
  });

  test('row 36: letters that look like others are no name of an image, and are findings in a Dockerfile', async () => {
    for (const name of ['\u0440hp:8', 'php\u200b:8', 'php:8\u202e']) {
      await expect(vet(name, { registry: client, sources: [], host: gitHub() })).rejects.toMatchObject({
        code: 'INVALID_REFERENCE',
      });
    }
    const cyrillic = await built('FROM \u0440hp:8\nCOPY x /');
    expect(cyrillic.verdict.decision).toBe('deny');
    expect(cyrillic.lineage.nodes[0]?.end).toBe('unresolved');
    for (const [text, rule] of [
      ['FROM scratch\nRUN n\u0440m ci', 'VET008'],
      ['FROM scratch\nRUN true # \u202e evil', 'VET008'],
      ['FROM docker.io.evil.example/library/php:8\nCOPY x /', 'VET009'],
      ['FROM library/php-apache\nCOPY x /', 'VET009'],
      ['FROM docker.io/phpapache\nCOPY x /', 'VET009'],
    ] as const) {
      expect([text, findings(await built(text))]).toEqual([text, expect.arrayContaining([rule])]);
    }
    for (const text of ['FROM scratch\nRUN npm ci', 'FROM docker.io/library/php:8\nCOPY x /']) {
      expect(findings(await built(text)).filter((rule) => /^VET00[89]$/.test(rule))).toEqual([]);
    }
    for (const [name, count] of [
      ['phpapache:1', 1],
      ['library/nginx-official:1', 1],
      ['app:1', 0],
    ] as const) {
      await pushTestImage(client, parseReference(name), { layers: [[{ path: 'x', content: 'x' }]] });
      const report = await vet(name, { registry: client, sources: [], host: gitHub() });
      expect([name, findings(report).filter((rule) => rule === 'VET067').length]).toEqual([name, count]);
      expect(report.verdict.decision).toBe('deny');
    }
    // A name nobody publishes under: no source knows it, and no registry has it.
    const squatted = await built('FROM library/php-apache\nCOPY x /');
    expect(squatted.verdict.decision).toBe('deny');
    expect(failures(squatted)).toContain('audit.finding');
    const about = squatted.lineage.gaps.filter(({ node }) => node?.includes('library/php-apache:latest'));
    expect(about.map(({ code }) => code)).toContain('DOCKERFILE_NOT_NAMED');
  });
});
