import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository, type GitHost, startGitHost } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SourceHost } from '../../../lineage/types.ts';
import { collect } from '../../__fixtures__/collect.ts';
import { gitHubHost } from '../api/github.ts';
import { gitMirrorHost } from './git-mirror.ts';

const REPOSITORY = 'https://github.com/acme/odd';
const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n';

let directory: string;
let trace: string;
let commit: string;
let server: GitHost;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-odd-'));
  trace = join(directory, 'trace');
  const made = await createRepository(join(directory, 'odd.git'), [
    {
      files: {
        '.gitmodules': `[submodule "m"]\n\tpath = m\n\turl = ext::sh -c "touch ${trace}"\n`,
        '.gitattributes': '*.txt export-subst\n*.sh filter=evil ident\n',
        m: { submodule: '1'.repeat(40) },
        'big.bin': POINTER,
        'stamp.txt': '$Format:%H %an$',
        'run.sh': '#!/bin/sh\n# $Id$\n',
        out: { symlink: '../../../../etc/passwd' },
        absolute: { symlink: '/etc/passwd' },
        Same: 'upper',
        same: 'lower',
        'aux.c': 'a device of Windows',
        'git~1': 'a short name of .git',
        'a:b': 'a stream of NTFS',
      },
      message: 'odd',
      date: '2024-01-01T00:00:00Z',
    },
  ]);
  commit = made.commits[0]!;
  server = await startGitHost({ repositories: { 'acme/odd': made.path } });
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const HOSTS: readonly [name: string, open: () => SourceHost][] = [
  ['GitHub', () => gitHubHost({ apiUrl: server.apiUrl, rawUrl: server.rawUrl, archiveUrl: server.url })],
  [
    'a mirror',
    () =>
      gitMirrorHost({
        directory: join(directory, 'mirrors'),
        remotes: { [REPOSITORY]: server.cloneUrl('acme/odd') },
      }),
  ],
];

describe.each(HOSTS)('a tree of oddities from %s (attack row 31)', (name, open) => {
  it('is given as it is: nothing run, followed, filtered or put together', async () => {
    const entries = await collect(open().readDirectory(REPOSITORY, commit, '.'));
    const shown = entries.map(({ path, type, content }) => [path, [type, Buffer.from(content).toString()]]);
    expect(Object.fromEntries(shown)).toMatchObject({
      m: ['submodule', '1'.repeat(40)],
      'big.bin': ['file', POINTER],
      'stamp.txt': ['file', '$Format:%H %an$'],
      'run.sh': ['file', '#!/bin/sh\n# $Id$\n'],
      out: ['symlink', '../../../../etc/passwd'],
      absolute: ['symlink', '/etc/passwd'],
      Same: ['file', 'upper'],
      same: ['file', 'lower'],
    });
    expect(shown.length).toBe(13);
    expect(existsSync(trace)).toBe(false);
  });

  it('has no file behind a link that leads out of it', async () => {
    for (const path of ['out', 'absolute']) {
      const read = open().readFile(REPOSITORY, commit, path);
      if (name === 'GitHub') expect((await read).content.toString()).toMatch(/etc\/passwd$/);
      else await expect(read).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    }
  });
});
