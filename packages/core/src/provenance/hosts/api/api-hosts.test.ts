// What every host that is read by an API has to do, whatever its API is like.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImagevetError } from '@imagevet/registry';
import {
  createRepository,
  type HostedRepositories,
  type LoopbackHost,
  type RepositoryCommit,
  startBitbucket,
  startGitea,
  startGitHost,
  startGitLab,
} from '@imagevet/registry/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RefReader } from '../../../drift/types.ts';
import type { SourceHost } from '../../../lineage/types.ts';
import { collect } from '../../__fixtures__/collect.ts';
import { bitbucketHost } from './bitbucket.ts';
import type { ApiHostOptions } from './dialect.ts';
import { giteaHost } from './gitea.ts';
import { gitHubHost } from './github.ts';
import { gitLabHost } from './gitlab.ts';

type Options = ApiHostOptions & { readonly token?: string };

/** One kind of host. */
interface Kind {
  readonly site: string;
  /** Whether it says of which objects a tree is made. */
  readonly ids: boolean;
  start(hosted: HostedRepositories): Promise<LoopbackHost & { readonly apiUrl: string }>;
  connect(server: LoopbackHost & { readonly apiUrl: string }, options: Options): SourceHost & RefReader;
}

const KINDS: Readonly<Record<string, Kind>> = {
  GitHub: {
    site: 'https://github.com',
    ids: true,
    start: startGitHost,
    connect: ({ url, apiUrl }, options) =>
      gitHubHost({ apiUrl, rawUrl: `${url}/raw`, archiveUrl: url, ...options }),
  },
  GitLab: {
    site: 'https://gitlab.com',
    ids: true,
    start: startGitLab,
    connect: ({ apiUrl }, options) => gitLabHost({ apiUrl, ...options }),
  },
  'GitLab before 15.0': {
    site: 'https://git.example/lab',
    ids: true,
    start: (hosted) => startGitLab({ ...hosted, pagesByNumber: true }),
    connect: ({ apiUrl }, options) => gitLabHost({ webUrl: 'https://git.example/lab/', apiUrl, ...options }),
  },
  Bitbucket: {
    site: 'https://bitbucket.org',
    ids: false,
    start: startBitbucket,
    connect: ({ url, apiUrl }, options) => bitbucketHost({ apiUrl, archiveUrl: url, ...options }),
  },
  Gitea: {
    site: 'https://codeberg.org',
    ids: true,
    start: startGitea,
    connect: ({ apiUrl }, options) => giteaHost({ apiUrl, ...options }),
  },
  'Gitea before 1.23': {
    site: 'https://git.example',
    ids: true,
    start: (hosted) => startGitea({ ...hosted, ignoresUntil: true }),
    connect: ({ apiUrl }, options) => giteaHost({ webUrl: 'https://git.example', apiUrl, ...options }),
  },
};

let directory: string;
/** The first three are on the main branch, the fourth on another, the fifth on none. */
let commits: readonly string[];
const repositories: Record<string, string> = {};
const identities: Record<string, { id: number; createdAt: string }> = {};
const moved: Record<string, string> = {};
const hosted: HostedRepositories = { repositories, identities, moved };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-hosts-'));
  const many = Object.fromEntries(
    Array.from({ length: 130 }, (_, index) => [`many/d${index}/f`, `${index}`]),
  );
  const history: readonly RepositoryCommit[] = [
    {
      files: {
        'web/Dockerfile': 'FROM scratch\nCOPY start /\n',
        'web/start': { executable: '#!/bin/sh\n' },
        'web/latest': { symlink: 'start' },
        'web/a b#?%.txt': 'odd\n',
        'web/ignored.txt': 'left out of archives\n',
        'web/stamp.txt': 'at $Format:%at$',
        '.gitattributes': 'web/ignored.txt export-ignore\nweb/stamp.txt export-subst\n',
        ...many,
      },
      message: 'one',
      date: '2020-01-01T00:00:00Z',
      branch: 'main',
      tags: ['v1'],
    },
    {
      files: { 'web/start': { executable: '#!/bin/dash\n' } },
      message: 'two',
      date: '2020-02-01T00:00:00Z',
      branch: 'main',
    },
    {
      files: { 'web/Dockerfile': 'FROM other\n' },
      message: 'three',
      date: '2020-03-01T00:00:00Z',
      branch: 'main',
    },
    {
      files: { other: 'x' },
      message: 'four',
      date: '2020-04-01T00:00:00Z',
      branch: 'release/2',
      parent: 0,
    },
    { files: { fork: 'x' }, message: 'of a fork', date: '2020-05-01T00:00:00Z', branch: 'gone' },
    { files: { kept: 'x' }, message: 'six', date: '2020-06-01T00:00:00Z', branch: 'gone', parent: null },
  ];
  const made = await createRepository(join(directory, 'app.git'), history);
  commits = made.commits;
  repositories['acme/app'] = made.path;
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const text = (content: Uint8Array): string => Buffer.from(content).toString('utf8');

async function failure(work: Promise<unknown>): Promise<ImagevetError> {
  const error = await work.then(
    () => new Error('expected an error'),
    (reason: unknown) => reason,
  );
  if (!ImagevetError.is(error)) throw error;
  return error;
}
const codeOf = async (work: Promise<unknown>): Promise<string> => (await failure(work)).code;

describe.each(Object.entries(KINDS))('%s', (_name, kind) => {
  let server: LoopbackHost & { readonly apiUrl: string };
  const app = `${kind.site}/acme/app`;
  const connect = (options: Options = {}) => kind.connect(server, { retries: 0, ...options });

  beforeAll(async () => {
    server = await kind.start(hosted);
  });
  afterEach(() => {
    for (const changed of [server.faults as Record<string, unknown>, identities, moved])
      for (const name of Object.keys(changed)) delete changed[name];
  });
  afterAll(() => server.close());

  it('supports repositories of its own site only', () => {
    const host = connect();
    expect([app, `${app}.git`, `${app}/`].every((url) => host.supports(url))).toBe(true);
    const others = [
      'https://other.example/acme/app',
      `${kind.site}/acme`,
      `${app}/../..`,
      'file:///acme/app',
    ];
    expect(others.filter((url) => host.supports(url))).toEqual([]);
  });

  it('reads a file at a commit, once', async () => {
    const host = connect();
    const before = server.requests.length;
    const [one, two] = await Promise.all([
      host.readFile(app, commits[0]!, 'web/Dockerfile'),
      host.readFile(`${app}.git`, commits[0]!, './web//Dockerfile'),
    ]);
    expect([text(one.content), text(two.content)]).toEqual(Array(2).fill('FROM scratch\nCOPY start /\n'));
    expect(server.requests.length - before).toBe(1);
    expect(one.url.startsWith(server.url)).toBe(true);
    expect(text((await host.readFile(app, commits[2]!, 'web/Dockerfile')).content)).toBe('FROM other\n');
    expect(text((await host.readFile(app, commits[0]!, 'web/a b#?%.txt')).content)).toBe('odd\n');
  });

  it('tells a missing file, a directory, a missing commit and a missing repository apart', async () => {
    const host = connect();
    expect(await codeOf(host.readFile(app, commits[0]!, 'web/none'))).toBe('SOURCE_NOT_FOUND');
    expect(await codeOf(host.readFile(app, commits[0]!, 'web'))).toBe('SOURCE_NOT_FOUND');
    const gone = await failure(host.readFile(app, '0'.repeat(40), 'web/Dockerfile'));
    expect([gone.code, gone.hint]).toEqual([
      'SOURCE_COMMIT_NOT_FOUND',
      expect.stringMatching(/force-pushed/),
    ]);
    const unknown = await failure(host.readFile(`${kind.site}/acme/none`, commits[0]!, 'x'));
    expect([unknown.code, unknown.message]).toEqual([
      'SOURCE_COMMIT_NOT_FOUND',
      expect.stringMatching(/no such repository/),
    ]);
  });

  it('refuses what is no commit, no path inside, or another host, without asking', async () => {
    const host = connect();
    const before = server.requests.length;
    const refused = [
      host.readFile(app, 'main', 'x'),
      host.readFile(app, commits[0]!, '../x'),
      host.readFile(app, commits[0]!, '/etc/passwd'),
      host.readFile('https://other.example/acme/app', commits[0]!, 'x'),
      collect(host.readDirectory(app, `${commits[0]}/..`, '.')),
      host.commitOf(app, '../x'),
      host.reachability(app, '--all'),
      host.refOf(app, 'refs/pull/1/head'),
      host.refOf(app, '--upload-pack=x'),
    ];
    expect(await Promise.all(refused.map(codeOf))).toEqual(Array(refused.length).fill('SOURCE_UNSUPPORTED'));
    expect(server.requests.length).toBe(before);
  });

  it('reads a directory with modes and links, whatever its archives leave out or change', async () => {
    const entries = await collect(connect().readDirectory(app, commits[0]!, 'web'));
    const shown = entries.map(({ path, type, content }) => [path, type, text(content)]);
    expect(shown.sort(([a], [b]) => (a! < b! ? -1 : 1))).toEqual([
      ['Dockerfile', 'file', 'FROM scratch\nCOPY start /\n'],
      ['a b#?%.txt', 'file', 'odd\n'],
      ['ignored.txt', 'file', 'left out of archives\n'],
      ['latest', 'symlink', 'start'],
      ['stamp.txt', 'file', 'at $Format:%at$'],
      ['start', 'executable', '#!/bin/sh\n'],
    ]);
  });

  it('reads a directory of more files than a page lists', async () => {
    const entries = await collect(connect().readDirectory(app, commits[0]!, 'many'));
    expect(new Set(entries.map(({ path, content }) => `${path} ${text(content)}`))).toEqual(
      new Set(Array.from({ length: 130 }, (_, index) => `d${index}/f ${index}`)),
    );
  });

  it('bounds a directory by files and bytes', async () => {
    const read = (options: Options, path: string) =>
      codeOf(collect(connect(options).readDirectory(app, commits[0]!, path)));
    expect(await read({ maxEntries: 2 }, 'web')).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read({ maxEntries: 60 }, 'many')).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read({ maxTreeBytes: 20 }, 'web')).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read({}, 'none')).toBe('SOURCE_NOT_FOUND');
    expect(await codeOf(connect({ maxFileBytes: 3 }).readFile(app, commits[0]!, 'web/start'))).toBe(
      'SOURCE_LIMIT_EXCEEDED',
    );
  });

  it('finds the commit of a path as of a date', async () => {
    const host = connect();
    const at = (path: string, asOf?: string) =>
      host.commitOf(app, path, asOf === undefined ? {} : { asOf: new Date(asOf) });
    expect(await at('web/start')).toBe(commits[1]);
    expect(await at('web/Dockerfile')).toBe(commits[2]);
    expect(await at('web/Dockerfile', '2020-02-15T00:00:00Z')).toBe(commits[0]);
    expect(await at('web/Dockerfile', '2020-03-01T00:00:00Z')).toBe(commits[2]);
    expect(await codeOf(at('web/Dockerfile', '2019-01-01T00:00:00Z'))).toBe('SOURCE_NOT_FOUND');
    expect(await codeOf(at('other'))).toBe('SOURCE_NOT_FOUND'); // on another branch
    expect(await codeOf(at('none'))).toBe('SOURCE_NOT_FOUND');
  });

  it("tells the repository's own commits from others it stores (attack row 26)", async () => {
    const host = connect();
    const ask = (commit: string, ref?: string) =>
      host.reachability(app, commit, ref === undefined ? {} : { ref });
    expect(await ask(commits[2]!)).toBe('reachable');
    expect(await ask(commits[0]!, 'refs/tags/v1')).toBe('reachable');
    expect(await ask(commits[1]!, 'refs/tags/v1')).toBe('reachable'); // not by the tag, but by main
    expect(await ask(commits[3]!)).toBe('reachable');
    expect(await ask(commits[3]!, 'refs/heads/none')).toBe('reachable');
    expect(await ask(commits[3]!, 'refs/heads/release/2')).toBe('reachable');
    expect(await ask(commits[3]!, '--all')).toBe('reachable');
    expect(text((await host.readFile(app, commits[4]!, 'fork')).content)).toBe('x');
    expect(await ask(commits[4]!)).toBe('unreachable');
    expect(await ask(commits[4]!, 'refs/heads/gone')).toBe('unreachable');
    expect(await ask('0'.repeat(40))).toBe('unreachable');
  });

  it('reads what branches, tags and HEAD name now', async () => {
    const host = connect();
    const refs = ['HEAD', 'refs/heads/main', 'refs/heads/release/2', 'refs/tags/v1', 'refs/tags/main'];
    expect(await Promise.all(refs.map((ref) => host.refOf(app, ref)))).toEqual([
      ...[commits[2], commits[2], commits[3], commits[0]],
      undefined,
    ]);
    expect(await host.refOf(app, 'refs/heads/v1')).toBeUndefined();
    expect(await host.refOf(`${kind.site}/acme/none`, 'HEAD')).toBeUndefined();
  });

  it('says when a commit was made, by its committer', async () => {
    const host = connect();
    expect(await host.committedAt?.(app, commits[0]!)).toEqual(new Date('2020-01-01T00:00:00Z'));
    expect(await host.committedAt?.(app, commits[1]!)).toEqual(new Date('2020-02-01T00:00:00Z'));
    expect(await host.committedAt?.(app, '0'.repeat(40))).toBeUndefined();
    expect(await host.committedAt?.(`${kind.site}/acme/none`, commits[0]!)).toBeUndefined();
  });

  it('says which repository a name leads to, where it has moved, and when it was made (attack row 28)', async () => {
    const host = connect();
    identities['acme/app'] = { id: 42, createdAt: '2019-05-01T10:00:00Z' };
    const now = await host.identityOf?.(app);
    expect(now).toEqual({
      id: expect.stringContaining('42'),
      repository: app,
      createdAt: '2019-05-01T10:00:00.000Z',
    });
    expect(now?.id.startsWith(`${new URL(kind.site).host}/`)).toBe(true);
    moved['old/name'] = 'acme/app';
    expect(await connect().identityOf?.(`${kind.site}/old/name`)).toEqual(now);
    identities['acme/app'] = { id: 43, createdAt: '2024-01-01T00:00:00Z' };
    expect((await host.identityOf?.(app))?.id).not.toBe(now?.id);
    expect(await host.identityOf?.(`${kind.site}/acme/none`)).toBeUndefined();
  });

  it('sends its token to its API and nowhere else', async () => {
    const host = connect({ token: 'secret-token' });
    const start = server.requests.length;
    await collect(host.readDirectory(app, commits[0]!, 'web'));
    await host.reachability(app, commits[3]!);
    const api = new URL(server.apiUrl).pathname;
    const seen = server.requests.slice(start);
    // In this test GitHub's archives have the same origin as its API.
    const told = seen.filter(({ url }) => !url.startsWith('/archive/'));
    const [asked, other] = [true, false].map((own) =>
      told.filter(({ url }) => url.startsWith(`${api}/`) === own),
    );
    expect(asked!.every(({ headers }) => headers.authorization === 'Bearer secret-token')).toBe(true);
    expect(asked!.length).toBeGreaterThan(2);
    expect(other!.some(({ headers }) => JSON.stringify(headers).includes('secret-token'))).toBe(false);
  });

  it('gives each failure its code, and rejects with the reason of an abort', async () => {
    const { faults } = server;
    const read = () => codeOf(connect().readFile(app, commits[0]!, 'web/Dockerfile'));
    faults.down = true;
    expect(await read()).toBe('SOURCE_UNREACHABLE');
    faults.down = false;
    faults.status = 401;
    expect(await read()).toBe('SOURCE_DENIED');
    faults.status = 429;
    faults.headers = { 'retry-after': '60' };
    expect(await read()).toBe('SOURCE_RATE_LIMITED');
    faults.status = undefined;
    faults.slow = 5_000;
    const controller = new AbortController();
    const reason = new Error('stop');
    const reading = connect().reachability(app, commits[0]!, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(reading).rejects.toBe(reason);
  });
});

describe('bitbucketHost()', () => {
  it('reads a file whose content is like the list of a directory', async () => {
    const like = JSON.stringify({ values: [{ type: 'commit_file', path: '../x' }] });
    const made = await createRepository(join(directory, 'list.git'), [
      { files: { 'a/list.json': like, 'a/e': '{"values":1}' }, message: 'one', date: '2020-01-01T00:00:00Z' },
    ]);
    const server = await startBitbucket({ repositories: { 'acme/list': made.path } });
    const host = bitbucketHost({ apiUrl: server.apiUrl, archiveUrl: server.url });
    const read = (path: string) => host.readFile('https://bitbucket.org/acme/list', made.commits[0]!, path);
    expect(text((await read('a/list.json')).content)).toBe(like);
    expect(text((await read('a/e')).content)).toBe('{"values":1}');
    expect(await codeOf(read('a'))).toBe('SOURCE_NOT_FOUND');
    await server.close();
  });

  it('refuses a directory with a submodule, whose commit it is not told', async () => {
    const made = await createRepository(join(directory, 'module.git'), [
      { files: { m: { submodule: '1'.repeat(40) }, x: 'x' }, message: 'one', date: '2020-01-01T00:00:00Z' },
    ]);
    const server = await startBitbucket({ repositories: { 'acme/module': made.path } });
    const host = bitbucketHost({ apiUrl: server.apiUrl, archiveUrl: server.url });
    const work = collect(host.readDirectory('https://bitbucket.org/acme/module', made.commits[0]!, '.'));
    expect(await codeOf(work)).toBe('SOURCE_UNSUPPORTED');
    await server.close();
  });
});
