import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository, type Gitea, startGitea } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../../__fixtures__/collect.ts';
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

/** Asks a server that answers everything alike. */
async function withServer<T>(answer: RequestListener, work: (url: string) => Promise<T>): Promise<T> {
  const odd = createServer(answer);
  await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
  try {
    return await work(`http://127.0.0.1:${(odd.address() as AddressInfo).port}`);
  } finally {
    odd.close();
  }
}

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

  it('says when a commit was made', async () => {
    expect(await host().committedAt?.(REPOSITORY, commit)).toEqual(new Date('2024-01-01T00:00:00Z'));
    expect(await host().committedAt?.(REPOSITORY, '0'.repeat(40))).toBeUndefined();
  });

  it('takes no other page for that of a commit', async () => {
    const when = (page: string) => {
      const answer = (_request: unknown, response: { end(text: string): void }) => response.end(page);
      return withServer(answer, (rawUrl) =>
        cgitHost({ rawUrl, retries: 0 }).committedAt!(REPOSITORY, commit),
      );
    };
    const row = (date: string) => `<tr><th>committer</th><td>A</td><td class='right'>${date}</td></tr>`;
    expect(await when(row('2024-03-04 05:06:07 +0200'))).toEqual(new Date('2024-03-04T03:06:07Z'));
    for (const page of [
      '',
      '<html></html>',
      row('yesterday'),
      row('2024-99-99 00:00:00 +0000'),
      `<tr><th>committer</th>${'<td>'.repeat(100_000)}`,
      `<tr><th>committer</th><td>2024-01-01 00:00:00 +0000</td><td>A</td></tr>`,
    ]) {
      expect(await when(page)).toBeUndefined();
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        expect(await when(`<tr><th>committer</th>${text}`)).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });

  it('supports the names of Launchpad', () => {
    const names = ['ubuntu', '~person/+git/name', '~team/ubuntu/+source/x', 'cloud-images/+oci/ubuntu-base'];
    const url = (name: string) => `https://git.launchpad.net/${name}`;
    expect(names.filter((name) => !host().supports(url(name)))).toEqual([]);
    expect(['x/tree/y', 'x/plain/y', 'x//y'].filter((name) => host().supports(url(name)))).toEqual([]);
  });
});
