import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { ImagevetError } from '@imagevet/registry';
import { pack } from 'tar-stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SourceEntry, SourceHost } from '../../../lineage/types.ts';
import { collect } from '../../__fixtures__/collect.ts';
import { startWorld, type World } from '../../__fixtures__/world.ts';
import { type GitHubHostOptions, gitHubHost } from './github.ts';
import { readTarball } from './tarball.ts';

const run = promisify(execFile);
const BLOG = 'https://github.com/acme/blog';
const ROOTFS = 'https://github.com/acme/rootfs';
const NONE = '0'.repeat(40);

let world: World;
let host: SourceHost;

function connect(options: GitHubHostOptions = {}): ReturnType<typeof gitHubHost> {
  const { apiUrl, rawUrl, url } = world.host;
  return gitHubHost({ apiUrl, rawUrl, archiveUrl: url, retries: 0, ...options });
}

beforeAll(async () => {
  world = await startWorld();
});

afterEach(() => {
  for (const name of Object.keys(world.host.faults))
    delete (world.host.faults as Record<string, unknown>)[name];
});

afterAll(async () => world.close());

async function failure(work: Promise<unknown>): Promise<ImagevetError> {
  const error = await work.then(
    () => new Error('expected an error'),
    (reason: unknown) => reason,
  );
  if (!ImagevetError.is(error)) throw error;
  return error;
}

const codeOf = async (work: Promise<unknown>): Promise<string> => (await failure(work)).code;
const text = (content: Uint8Array): string => Buffer.from(content).toString('utf8');

describe('gitHubHost()', () => {
  it('reads what branches, tags and HEAD name now, through tags that are objects', async () => {
    const github = connect();
    const repository = world.repositories['acme/blog']!;
    const master = await github.refOf(BLOG, 'refs/heads/master');
    expect(master).toMatch(/^[0-9a-f]{40}$/);
    expect(await github.refOf(BLOG, 'HEAD')).toBe(master);
    const author = ['-c', 'user.name=test', '-c', 'user.email=test@imagevet.example'];
    const tag = (name: string, of: string) =>
      run('git', [`--git-dir=${repository}`, ...author, 'tag', '-a', '-m', 'tag', name, of]);
    await tag('v1', world.commits.blog);
    await tag('v2', 'v1');
    expect(await github.refOf(BLOG, 'refs/tags/v2')).toBe(world.commits.blog);
    expect(await github.refOf(BLOG, 'refs/tags/none')).toBeUndefined();
    expect(await github.refOf('https://github.com/acme/none', 'HEAD')).toBeUndefined();
    expect(await codeOf(github.refOf(BLOG, 'refs/pull/1/head'))).toBe('SOURCE_UNSUPPORTED');
  });

  it('supports repositories of its own web site only', () => {
    host = connect();
    expect([BLOG, `${BLOG}.git`, 'git://github.com/acme/blog'].every((url) => host.supports(url))).toBe(true);
    expect(
      [
        'https://gitlab.com/acme/blog',
        'https://github.com/acme',
        `${BLOG}/tree/x`,
        'https://github.com/../..',
        'file:///x',
      ].some((url) => host.supports(url)),
    ).toBe(false);
  });

  it('reads a file at a commit, once', async () => {
    host = connect();
    const before = world.host.requests.length;
    const files = await Promise.all(
      [1, 2, 3].map(() => host.readFile(BLOG, world.commits.blog, 'web/Dockerfile')),
    );
    expect(files.map(({ content }) => text(content))).toEqual(
      Array(3).fill('FROM runtime:7-web\nCOPY start /start\nCMD ["/start"]\n'),
    );
    expect(files[0]?.url).toBe(`${world.host.rawUrl}/acme/blog/${world.commits.blog}/web/Dockerfile`);
    expect(world.host.requests.length - before).toBe(1);
  });

  it('tells a missing file, a missing commit and a missing repository apart', async () => {
    host = connect();
    expect(await codeOf(host.readFile(BLOG, world.commits.blog, 'web/none'))).toBe('SOURCE_NOT_FOUND');
    const gone = await failure(host.readFile(ROOTFS, world.commits.rootfsAmd64, 'slim/Dockerfile'));
    expect([gone.code, gone.hint]).toEqual([
      'SOURCE_COMMIT_NOT_FOUND',
      expect.stringMatching(/force-pushed/),
    ]);
    const unknown = await failure(host.readFile('https://github.com/acme/none', NONE, 'x'));
    expect([unknown.code, unknown.message]).toEqual([
      'SOURCE_COMMIT_NOT_FOUND',
      expect.stringMatching(/no such repository/),
    ]);
  });

  it('refuses what is no commit, no path inside, or another host', async () => {
    host = connect();
    expect(await codeOf(host.readFile(BLOG, 'master', 'web/Dockerfile'))).toBe('SOURCE_UNSUPPORTED');
    expect(await codeOf(host.readFile(BLOG, world.commits.blog, '../secret'))).toBe('SOURCE_UNSUPPORTED');
    expect(await codeOf(host.readFile('https://gitlab.com/a/b', world.commits.blog, 'x'))).toBe(
      'SOURCE_UNSUPPORTED',
    );
  });

  it('reads a directory as its tree lists it: modes, links, submodules, and files archives leave out', async () => {
    const entries: SourceEntry[] = await collect(connect().readDirectory(BLOG, world.commits.blog, 'web'));
    expect(
      entries
        .map((entry) => [entry.path, entry.type, text(entry.content)])
        .sort(([a], [b]) => (a! < b! ? -1 : 1)),
    ).toEqual([
      ['Dockerfile', 'file', 'FROM runtime:7-web\nCOPY start /start\nCMD ["/start"]\n'],
      ['ignored.txt', 'file', 'left out of archives\n'],
      ['latest', 'symlink', 'start'],
      ['module', 'submodule', '1'.repeat(40)],
      ['start', 'executable', '#!/bin/sh\n'],
    ]);
    const all = await collect(connect().readDirectory(BLOG, world.commits.blog, '.'));
    expect(all.map((entry) => entry.path)).toContain('web/Dockerfile');
  });

  it('tells the tree of a directory, the same at every commit that has the same content', async () => {
    const told = connect({ token: 'secret' });
    const treeOf = (directory: string, commit = world.commits.blog) => told.treeOf?.(BLOG, commit, directory);
    const [web, root] = [await treeOf('web'), await treeOf('.')];
    expect(web).toMatch(/^[0-9a-f]{40}$/);
    expect(root).toMatch(/^[0-9a-f]{40}$/);
    expect(root).not.toBe(web);
    const listed = await fetch(`${world.host.apiUrl}/repos/acme/blog/git/trees/${world.commits.blog}`);
    const { tree } = (await listed.json()) as { tree: { path: string; sha: string }[] };
    expect(tree.find(({ path }) => path === 'web')?.sha).toBe(web);
    expect(await treeOf('web/Dockerfile')).toBeUndefined();
    expect(await treeOf('none')).toBeUndefined();
    expect(await treeOf('web', NONE)).toBeUndefined();
    expect(await connect().treeOf?.(BLOG, world.commits.blog, 'web')).toBeUndefined();
  });

  it('tells when a commit was made', async () => {
    const host = connect();
    expect(await host.committedAt?.(BLOG, world.commits.blog)).toEqual(new Date('2018-01-02T00:00:00Z'));
    expect(await host.committedAt?.(BLOG, NONE)).toBeUndefined();
  });

  it('bounds a directory by files and bytes', async () => {
    const read = (options: GitHubHostOptions, directory = 'web') =>
      codeOf(collect(connect(options).readDirectory(BLOG, world.commits.blog, directory)));
    expect(await read({ maxEntries: 2 })).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read({ maxTreeBytes: 20 })).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read({}, 'none')).toBe('SOURCE_NOT_FOUND');
    expect(await codeOf(connect({ maxFileBytes: 3 }).readFile(BLOG, world.commits.blog, 'README.md'))).toBe(
      'SOURCE_LIMIT_EXCEEDED',
    );
  });

  it('finds the commit of a path as of a date', async () => {
    host = connect();
    const repository = 'https://github.com/docker-library/official-images';
    const at = async (asOf?: string) =>
      host.commitOf(repository, 'library/runtime', asOf === undefined ? {} : { asOf: new Date(asOf) });
    expect(await at('2018-01-04T00:00:00Z')).toBe(world.library[0]);
    expect(await at('2018-01-08T00:00:00Z')).toBe(world.library[2]);
    expect(await at()).toBe(world.library[2]);
    expect(await codeOf(at('2017-01-01T00:00:00Z'))).toBe('SOURCE_NOT_FOUND');
    expect(await codeOf(host.commitOf(repository, 'library/none'))).toBe('SOURCE_NOT_FOUND');
  });

  it('asks again with the ETag it was given, and believes "not modified"', async () => {
    host = connect();
    const repository = 'https://github.com/docker-library/official-images';
    const first = await host.commitOf(repository, 'library/blog');
    expect(await host.commitOf(repository, 'library/blog')).toBe(first);
    expect(world.host.requests.at(-1)?.headers['if-none-match']).toMatch(/^W\/"/);
  });

  it('tells the commits of the repository from those of a fork', async () => {
    host = connect();
    const { blog, rootfsAmd64 } = world.commits;
    expect(await host.reachability(BLOG, blog)).toBe('reachable');
    expect(await host.reachability(BLOG, blog, { ref: 'refs/heads/gone' })).toBe('reachable');
    const commits = async (branch: string) => JSON.parse(text(await fetchJson(`/repos/acme/${branch}`)));
    const [kept] = await commits('blog/commits?sha=gone');
    expect(await host.reachability(BLOG, kept.sha, { ref: 'refs/heads/gone' })).toBe('reachable');
    expect(await host.reachability(BLOG, kept.sha)).toBe('reachable');
    expect(await host.reachability(ROOTFS, rootfsAmd64, { ref: 'refs/heads/dist-amd64' })).toBe(
      'unreachable',
    );
    // Stored and served, but on no branch: an imposter commit.
    const imposter = world.imposter;
    expect(text((await host.readFile(BLOG, imposter, 'fork.txt')).content)).toBe('not ours\n');
    expect(await host.reachability(BLOG, imposter)).toBe('unreachable');
  });

  it('gives each failure its code', async () => {
    const read = () => codeOf(connect().readFile(BLOG, world.commits.blog, 'README.md'));
    const { faults } = world.host;
    faults.down = true;
    expect(await read()).toBe('SOURCE_UNREACHABLE');
    faults.down = false;
    faults.status = 503;
    expect(await read()).toBe('SOURCE_UNREACHABLE');
    faults.status = 403;
    expect(await read()).toBe('SOURCE_DENIED');
    faults.headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1800000000' };
    const limited = await failure(connect().readFile(BLOG, world.commits.blog, 'README.md'));
    expect([limited.code, limited.details?.retryAt]).toEqual([
      'SOURCE_RATE_LIMITED',
      '2027-01-15T08:00:00.000Z',
    ]);
    faults.status = undefined;
    faults.slow = 5_000;
    expect(await codeOf(connect({ timeoutMs: 50 }).readFile(BLOG, world.commits.blog, 'README.md'))).toBe(
      'SOURCE_UNREACHABLE',
    );
  });

  it('repeats a request after a lost connection', async () => {
    const { faults, requests } = world.host;
    const start = requests.length;
    faults.down = true;
    faults.when = () => requests.length - start < 2;
    const { content } = await connect({ retries: 2 }).readFile(BLOG, world.commits.blog, 'README.md');
    expect(text(content)).toBe('outside\n');
  });

  it('rejects with the reason of an abort', async () => {
    world.host.faults.slow = 5_000;
    const controller = new AbortController();
    const reason = new Error('stop');
    const reading = connect().readFile(BLOG, world.commits.blog, 'README.md', { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(reading).rejects.toBe(reason);
    await expect(connect().commitOf(BLOG, 'x', { signal: controller.signal })).rejects.toBe(reason);
  });

  it('sends the token to the API and nowhere else', async () => {
    const start = world.host.requests.length;
    const other = await startElsewhere();
    const authorized = connect({ token: 'secret-token' });
    await collect(authorized.readDirectory(BLOG, world.commits.blog, 'web'));
    await authorized.commitOf(BLOG, 'web/Dockerfile');
    const seen = world.host.requests.slice(start);
    expect(
      seen
        .filter(({ url }) => url.startsWith('/api'))
        .every(({ headers }) => headers.authorization === 'Bearer secret-token'),
    ).toBe(true);
    expect(
      seen
        .filter(({ url }) => url.startsWith('/raw'))
        .some(({ headers }) => headers.authorization !== undefined),
    ).toBe(false);
    const message = await failure(
      collect(
        connect({ token: 'secret-token', apiUrl: other.url, archiveUrl: world.host.url }).readDirectory(
          BLOG,
          world.commits.blog,
          'web',
        ),
      ),
    );
    expect([message.code, JSON.stringify(message)]).toEqual([
      'SOURCE_INVALID',
      expect.not.stringContaining('secret-token'),
    ]);
    expect(message.message).toMatch(/redirects to http:\/\/127\.0\.0\.2/);
    await other.close();
  });
});

it('gitHubHost() follows the redirect of a renamed repository on the same host', async () => {
  const server = createServer((request, response) => {
    const renamed = request.url?.startsWith('/repos/acme/old/commits') ?? false;
    if (renamed) response.writeHead(301, { location: '/repositories/7/commits' }).end('{}');
    else response.writeHead(200).end(JSON.stringify([{ sha: NONE }]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const renamed = gitHubHost({ apiUrl, token: 'secret-token' });
  expect(await renamed.commitOf('https://github.com/acme/old', 'Dockerfile')).toBe(NONE);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
});

describe('readTarball()', () => {
  const limits = { maxBytes: 1000, operation: 'test' };
  const archive = async (entries: readonly { name: string; content?: string; linkname?: string }[]) => {
    const tar = pack();
    for (const { name, content = '', linkname } of entries) {
      tar.entry(linkname === undefined ? { name } : { name, type: 'symlink', linkname }, content);
    }
    tar.finalize();
    return gzipSync(Buffer.concat(await collect(tar as AsyncIterable<Uint8Array>)));
  };
  async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < bytes.length; start += 64) yield bytes.subarray(start, start + 64);
  }

  it('hands over wanted entries only, so that no path can lead outside', async () => {
    const bytes = await archive([
      { name: 'x/../../etc/passwd', content: 'bad' },
      { name: '/x/a', content: 'bad' },
      { name: 'x/a', content: 'good' },
      { name: 'x/l', linkname: '/etc' },
    ]);
    const entries = await collect(readTarball(chunks(bytes), (path) => path === 'a', limits));
    expect(entries.map(({ path, content }) => [path, text(content)])).toEqual([['a', 'good']]);
  });

  it('refuses damaged archives and too many bytes', async () => {
    const bytes = await archive([{ name: 'x/a', content: 'a'.repeat(2000) }]);
    const read = (part: Uint8Array) => codeOf(collect(readTarball(chunks(part), () => true, limits)));
    expect(await read(bytes)).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await read(Buffer.from('not an archive'))).toBe('SOURCE_INVALID');
    expect(await read((await archive([{ name: 'x/a', content: 'abc' }])).subarray(0, 60))).toBe(
      'SOURCE_INVALID',
    );
  });

  it('stops when its reader does', async () => {
    const bytes = await archive([
      { name: 'x/a', content: 'a' },
      { name: 'x/b', content: 'b' },
    ]);
    for await (const { path } of readTarball(chunks(bytes), () => true, limits)) {
      expect(path).toBe('a');
      break;
    }
  });
});

async function fetchJson(path: string): Promise<Uint8Array> {
  const answer = await fetch(`${world.host.apiUrl}${path}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** An API that redirects every download to a host of its own choosing. */
async function startElsewhere(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    if (request.url?.includes('/tarball/')) {
      response.writeHead(302, { location: 'http://127.0.0.2:9/steal' }).end();
    } else {
      const tree = [{ path: 'web/Dockerfile', mode: '100644', type: 'blob', sha: NONE, size: 1 }];
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ tree }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
