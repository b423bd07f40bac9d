import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository, type Gitea, startGitea } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../__fixtures__/collect.ts';
import { cgitHost } from './cgit.ts';

const REPOSITORY = 'https://git.launchpad.net/oci/base';

let directory: string;
let server: Gitea;
let commit: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-cgit-'));
  const { path, commits } = await createRepository(join(directory, 'base.git'), [
    { files: { 'oci/index.json': '{}', 'a.html': '<html>' }, message: 'one', date: '2024-01-01T00:00:00Z' },
  ]);
  commit = commits[0]!;
  server = await startGitea({ repositories: { 'oci/base': path } });
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

describe('cgitHost()', () => {
  const host = () => cgitHost({ rawUrl: server.url, retries: 0 });
  const read = async (path: string, at = commit) =>
    Buffer.from((await host().readFile(REPOSITORY, at, path)).content).toString('utf8');

  it('reads a file at a commit, and tells it from a directory and from none', async () => {
    expect(await read('oci/index.json')).toBe('{}');
    expect(await read('a.html')).toBe('<html>');
    await expect(read('oci')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await expect(read('none')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await expect(read('a.html', '0'.repeat(40))).rejects.toMatchObject({ code: 'SOURCE_COMMIT_NOT_FOUND' });
  });

  it('says what cgit does not tell, and claims nothing about it', async () => {
    expect(await host().reachability(REPOSITORY, commit)).toBe('unchecked');
    const refused = { code: 'SOURCE_UNSUPPORTED', hint: expect.stringContaining('mirror') };
    await expect(host().commitOf(REPOSITORY, 'a.html')).rejects.toMatchObject(refused);
    await expect(collect(host().readDirectory(REPOSITORY, commit, 'oci'))).rejects.toMatchObject(refused);
    expect('refOf' in host()).toBe(false);
  });

  it('supports the names of Launchpad', () => {
    const names = ['ubuntu', '~person/+git/name', '~team/ubuntu/+source/x', 'cloud-images/+oci/ubuntu-base'];
    const url = (name: string) => `https://git.launchpad.net/${name}`;
    expect(names.filter((name) => !host().supports(url(name)))).toEqual([]);
    expect(['x/tree/y', 'x/plain/y', 'x//y'].filter((name) => host().supports(url(name)))).toEqual([]);
  });
});
