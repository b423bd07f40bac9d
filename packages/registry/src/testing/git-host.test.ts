import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GitHost, startGitHost } from './git-host.ts';
import { createRepository } from './git-repository.ts';

const COMMITS = [
  {
    files: { 'a/Dockerfile': 'FROM scratch\n', 'a/run.sh': { executable: '#!/bin/sh\n' } },
    message: 'one',
    date: '2018-01-01T00:00:00Z',
  },
  {
    files: { 'a/Dockerfile': 'FROM scratch\nENV A=1\n', 'a/link': { symlink: 'run.sh' } },
    message: 'two',
    date: '2018-01-03T00:00:00Z',
    tags: ['v1'],
  },
  { files: { 'b/file with space': 'b' }, message: 'three', date: '2018-01-05T00:00:00Z', branch: 'dist' },
  {
    files: { 'b/Dockerfile': 'FROM scratch\n' },
    message: 'forced',
    date: '2018-01-06T00:00:00Z',
    branch: 'dist',
    parent: null,
  },
] as const;

let directory: string;
let host: GitHost;
let ids: readonly string[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-git-host-'));
  const repository = await createRepository(join(directory, 'one.git'), COMMITS);
  ids = repository.commits;
  host = await startGitHost({ repositories: { 'owner/one': repository.path } });
});

afterAll(async () => {
  await host.close();
  rmSync(directory, { recursive: true, force: true });
});

async function get(url: string): Promise<{
  status: number; // biome-ignore lint/suspicious/noExplicitAny: answers of several shapes, checked by the expectations
  json: any;
  bytes: Buffer;
  location: unknown;
}> {
  const { statusCode, body, headers } = await request(url);
  const bytes = Buffer.from(await body.arrayBuffer());
  const json = headers['content-type']?.includes('json') ? JSON.parse(bytes.toString()) : undefined;
  return { status: statusCode, json, bytes, location: headers.location };
}

describe('createRepository()', () => {
  it('makes the same commit ids from the same input', async () => {
    const again = await createRepository(join(directory, 'again.git'), COMMITS);
    expect(again.commits).toEqual(ids);
    expect(new Set(ids).size).toBe(4);
  });

  it('forgets commits no branch holds when asked to prune', async () => {
    const pruned = await createRepository(join(directory, 'pruned.git'), COMMITS, { prune: true });
    const type = (id: string) =>
      execFileSync('git', ['-C', pruned.path, 'cat-file', '--batch-check'], { input: `${id}\n` })
        .toString()
        .trim();
    expect(type(ids[2]!)).toBe(`${ids[2]} missing`);
    expect(type(ids[3]!)).toMatch(/ commit /);
  });
});

describe('startGitHost()', () => {
  it('serves a raw file at a commit, a branch and a tag', async () => {
    const at = async (ref: string) =>
      (await get(`${host.rawUrl}/owner/one/${ref}/a/Dockerfile`)).bytes.toString();
    expect(await at(ids[0]!)).toBe('FROM scratch\n');
    expect(await at('master')).toBe('FROM scratch\nENV A=1\n');
    expect(await at('v1')).toBe('FROM scratch\nENV A=1\n');
    expect((await get(`${host.rawUrl}/owner/one/master/a`)).status).toBe(404);
    expect((await get(`${host.rawUrl}/owner/two/master/a/Dockerfile`)).status).toBe(404);
  });

  it('finds the newest commit of a path not after a date', async () => {
    const newest = async (query: string) =>
      (await get(`${host.apiUrl}/repos/owner/one/commits?${query}`)).json;
    const path = 'path=a%2FDockerfile&per_page=1';
    expect(await newest(path)).toMatchObject([{ sha: ids[1] }]);
    expect(await newest(`${path}&until=2018-01-02T00:00:00Z`)).toMatchObject([{ sha: ids[0] }]);
    expect(await newest(`${path}&until=2017-01-02T00:00:00Z`)).toEqual([]);
  });

  it('compares commits as the API does', async () => {
    const status = async (basehead: string) =>
      (await get(`${host.apiUrl}/repos/owner/one/compare/${basehead}`)).json.status;
    expect(await status(`master...${ids[0]}`)).toBe('behind');
    expect(await status(`master...${ids[1]}`)).toBe('identical');
    expect(await status(`master...${ids[2]}`)).toBe('ahead');
    expect((await get(`${host.apiUrl}/repos/owner/one/compare/master...${ids[3]}`)).status).toBe(404);
  });

  it('still serves a commit no branch holds, and says so of one it never had', async () => {
    expect((await get(`${host.apiUrl}/repos/owner/one/commits/${ids[2]}`)).json.sha).toBe(ids[2]);
    expect((await get(`${host.apiUrl}/repos/owner/one/commits/${'0'.repeat(40)}`)).status).toBe(422);
  });

  it('lists trees with modes', async () => {
    const { json } = await get(`${host.apiUrl}/repos/owner/one/git/trees/${ids[1]}?recursive=1`);
    expect(json.tree.map((entry: { mode: string; path: string }) => `${entry.mode} ${entry.path}`)).toEqual([
      '040000 a',
      '100644 a/Dockerfile',
      '120000 a/link',
      '100755 a/run.sh',
    ]);
  });

  it('redirects to a tarball under one directory', async () => {
    const { status, location } = await get(`${host.apiUrl}/repos/owner/one/tarball/${ids[2]}`);
    expect(status).toBe(302);
    const archive = gunzipSync((await get(String(location))).bytes);
    expect(archive.toString('latin1')).toContain(`owner-one-${ids[2]!.slice(0, 7)}/b/file with space`);
  });

  it('is a remote git can clone', async () => {
    const clone = join(directory, 'clone');
    await promisify(execFile)('git', ['clone', '--quiet', host.cloneUrl('owner/one'), clone]);
    expect(readFileSync(join(clone, 'a/Dockerfile'), 'utf8')).toBe('FROM scratch\nENV A=1\n');
  });

  it('takes a ref that looks like an option as a name', async () => {
    expect((await get(`${host.rawUrl}/owner/one/--output=x/a/Dockerfile`)).status).toBe(404);
    expect((await get(`${host.apiUrl}/repos/owner/one/tarball/--output=x`)).status).toBe(404);
  });

  it('fails as told', async () => {
    host.faults.status = 403;
    host.faults.headers = { 'x-ratelimit-remaining': '0' };
    expect((await get(`${host.apiUrl}/repos/owner/one`)).status).toBe(403);
    host.faults.status = undefined;
    host.faults.down = true;
    await expect(get(`${host.apiUrl}/repos/owner/one`)).rejects.toThrow();
    host.faults.down = false;
    expect((await get(`${host.apiUrl}/repos/owner/one`)).json.default_branch).toBe('master');
    expect(host.requests.at(-1)).toMatchObject({ method: 'GET', url: '/api/repos/owner/one' });
  });
});
