import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GitFiles } from './git-files.ts';
import { blobId } from './git-object.ts';
import { GitObjects } from './git-objects.ts';

let directory: string;
let repository: string;
let commit: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-objects-'));
  repository = join(directory, 'repository.git');
  const files = {
    Dockerfile: 'FROM a\n',
    'web/Dockerfile': 'FROM b\n',
    'web/latest': { symlink: '../Dockerfile' },
    'web/loop': { symlink: 'loop' },
    'web/out': { symlink: '../../etc/passwd' },
    'web/absolute': { symlink: '/etc/passwd' },
    'web/module': { submodule: '1'.repeat(40) },
    current: { symlink: 'web' },
    empty: '',
    large: 'x'.repeat(300_000),
    'ünïcode/ a b': 'odd\n',
  };
  const made = await createRepository(repository, [{ files, message: 'One', date: '2020-01-01T00:00:00Z' }]);
  commit = made.commits[0]!;
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: { code?: string }) => error.code,
  );

describe('GitObjects', () => {
  it('reads objects of every kind and holds them against their id', async () => {
    await using objects = new GitObjects(repository);
    const large = 'x'.repeat(300_000);
    const ids = [
      commit,
      blobId(Buffer.from('FROM a\n'), commit),
      blobId(Buffer.from(large), commit),
      blobId(Buffer.from(''), commit),
    ];
    const read = await Promise.all(ids.map((id) => objects.read(id)));
    expect(read.map((object) => object?.type)).toEqual(['commit', 'blob', 'blob', 'blob']);
    expect(read.slice(1).map((object) => Buffer.from(object!.content).toString('utf8'))).toEqual([
      'FROM a\n',
      large,
      '',
    ]);
    expect(await objects.read('0'.repeat(40))).toBeUndefined();
  });

  it('refuses what is larger than the limit, before it is read, and ids that are none', async () => {
    const seen: string[] = [];
    await using objects = new GitObjects(repository, {
      maxObjectBytes: 1000,
      onRead: ({ id }) => seen.push(id),
    });
    const large = blobId(Buffer.from('x'.repeat(300_000)), commit);
    expect(await codeOf(objects.read(large))).toBe('SOURCE_LIMIT_EXCEEDED');
    expect(await codeOf(objects.read('HEAD'))).toBe('SOURCE_UNSUPPORTED');
    expect(seen).toEqual([]);
  });

  it('goes on after an aborted read', async () => {
    await using objects = new GitObjects(repository);
    const reason = new Error('enough');
    const controller = new AbortController();
    const first = objects.read(commit, { signal: controller.signal });
    const second = objects.read(commit);
    controller.abort(reason);
    await expect(first).rejects.toBe(reason);
    expect((await second)?.id).toBe(commit);
  });

  it('says that git is missing, ended, or that the directory is no repository', async () => {
    await using without = new GitObjects(repository, { environment: { PATH: '/nonexistent' } });
    expect(await codeOf(without.read(commit))).toBe('SOURCE_UNSUPPORTED');
    await using nowhere = new GitObjects(join(directory, 'none'));
    expect(await codeOf(nowhere.read(commit))).toBe('SOURCE_UNREACHABLE');
    const closed = new GitObjects(repository);
    await closed.read(commit);
    await closed.close();
    expect(await codeOf(closed.read(commit))).toBe('SOURCE_UNREACHABLE');
  });

  it('refuses content that is not what the id says, and answers of no known form', async () => {
    const path = join(directory, 'bin');
    const lying = async (name: string, script: string) => {
      const bin = `${path}-${name}`;
      mkdirSync(bin);
      writeFileSync(join(bin, 'git'), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, 'git'), 0o755);
      await using objects = new GitObjects(repository, { environment: { PATH: `${bin}:/usr/bin:/bin` } });
      return await codeOf(objects.read('a'.repeat(40)));
    };
    const id = 'a'.repeat(40);
    const reply = (text: string) => `read a; printf '${id} blob 2\\n'; read b; printf '${text}'; read c`;
    expect(await lying('hash', reply(`${id} blob 2\\nhi\\n`))).toBe('SOURCE_INVALID');
    expect(await lying('other', reply(`${'b'.repeat(40)} blob 2\\nhi\\n`))).toBe('SOURCE_INVALID');
    expect(await lying('noise', "while :; do printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; done")).toBe(
      'SOURCE_INVALID',
    );
    expect(await lying('cut', `read a; printf '${id} blob 2\\n'; read b; printf '${id} blob 2\\nh'`)).toBe(
      'SOURCE_UNREACHABLE',
    );
  });

  it('gives up on a git that does not answer', async () => {
    const bin = join(directory, 'silent');
    mkdirSync(bin);
    writeFileSync(join(bin, 'git'), '#!/bin/sh\nexec cat >/dev/null\n');
    chmodSync(join(bin, 'git'), 0o755);
    await using objects = new GitObjects(repository, {
      environment: { PATH: `${bin}:/usr/bin:/bin` },
      timeoutMs: 50,
    });
    expect(await codeOf(objects.read(commit))).toBe('SOURCE_UNREACHABLE');
  });
});

describe('GitFiles', () => {
  it('follows paths, links and links to directories', async () => {
    await using objects = new GitObjects(repository);
    const files = new GitFiles(objects);
    const at = async (path: string) => {
      const found = await files.find(commit, path);
      return found.status === 'file' ? found.path : found.status;
    };
    expect(await at('web/Dockerfile')).toBe('web/Dockerfile');
    expect(await at('./web//../Dockerfile')).toBe('Dockerfile');
    expect(await at('web/latest')).toBe('Dockerfile');
    expect(await at('current/latest')).toBe('Dockerfile');
    expect(await at('current/Dockerfile')).toBe('web/Dockerfile');
    expect(await at('ünïcode/ a b')).toBe('ünïcode/ a b');
    expect(await at('web')).toBe('directory');
    for (const path of [
      'none',
      'web/none',
      'Dockerfile/x',
      'web/loop',
      'web/out',
      'web/absolute',
      'web/module',
      '../x',
    ]) {
      expect([path, await at(path)]).toEqual([path, 'no-path']);
    }
    expect(await files.find('0'.repeat(40), 'x')).toEqual({ status: 'no-commit' });
  });

  it('takes an annotated tag for the commit it is put on, and nothing else', async () => {
    const git = (input: string, ...args: string[]) =>
      execFileSync('git', ['--git-dir', repository, ...args], { input, encoding: 'utf8' }).trim();
    const tag = (object: string, type: string) =>
      git(`object ${object}\ntype ${type}\ntag v1\ntagger a <a@x> 0 +0000\n\nv1\n`, 'mktag');
    const once = tag(commit, 'commit');
    const blob = blobId(Buffer.from('FROM a\n'), commit);
    await using objects = new GitObjects(repository);
    const files = new GitFiles(objects);
    const at = async (id: string) => (await files.find(id, 'Dockerfile')).status;
    expect(await at(once)).toBe('file');
    expect(await at(tag(once, 'tag'))).toBe('file');
    expect(await at(blob)).toBe('no-commit');
    expect(await at(tag(blob, 'blob'))).toBe('no-commit');
  });

  it('reads each commit and each directory once', async () => {
    const reads = new Map<string, number>();
    await using objects = new GitObjects(repository, {
      onRead: ({ id }) => reads.set(id, (reads.get(id) ?? 0) + 1),
    });
    const files = new GitFiles(objects);
    await Promise.all(['Dockerfile', 'web/Dockerfile', 'web/none'].map((path) => files.find(commit, path)));
    await files.find(commit, 'web/Dockerfile');
    expect([...reads.values()]).toEqual([1, 1, 1]);
  });

  it('lists a directory', async () => {
    await using objects = new GitObjects(repository);
    const files = new GitFiles(objects);
    const web = await files.find(commit, 'web');
    const listed = web.status === 'directory' ? await files.list(web.id) : undefined;
    expect(listed?.map(({ name, type }) => `${type} ${name}`).sort()).toEqual([
      'file Dockerfile',
      'submodule module',
      'symlink absolute',
      'symlink latest',
      'symlink loop',
      'symlink out',
    ]);
  });

  it('takes any bytes for a tree, and says so when they are none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (bytes) => {
        const tree = { id: 'e'.repeat(40), type: 'tree' as const, content: bytes };
        const files = new GitFiles({ read: async () => tree } as unknown as GitObjects);
        const listed = await files.list(tree.id).then(
          (entries) => entries?.length,
          (error: { code?: string }) => error.code,
        );
        expect(typeof listed === 'number' || listed === 'SOURCE_INVALID').toBe(true);
      }),
    );
  });
});
