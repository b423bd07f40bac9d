import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { openDockerArchive } from '../archive/docker-archive.ts';
import { resolveImage } from '../content/image.ts';
import { digestOf } from '../digest.ts';
import { parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { makeTar, pushTestImage, type TestFile } from '../testing/image.ts';
import { end, entry } from '../testing/raw-tar.ts';
import { startRegistry } from '../testing/registry.ts';
import { extractImage, extractLayer } from './extract-image.ts';

const run = promisify(execFile);

/** A directory of the test's own. */
async function scratch() {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'imagevet-extract-')));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** An image in a registry, and somewhere to put it. */
async function imageOf(layers: readonly (readonly TestFile[])[]) {
  const { folder, [Symbol.asyncDispose]: removeFolder } = await scratch();
  const registry = await startRegistry();
  const source = new RegistryClient();
  const image = await pushTestImage(source, parseReference(`${registry.host}/app:1`), { layers });
  return {
    folder,
    registry,
    source,
    image,
    target: join(folder, 'target'),
    [Symbol.asyncDispose]: async () => {
      await source.close();
      await registry.close();
      await removeFolder();
    },
  };
}

/** Every path with what a container would see of it. */
async function facts(folder: string, ignored: RegExp = /^$/): Promise<Record<string, string>> {
  const found: [string, string][] = [];
  const names = new Map<number, string>();
  const items = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const path of items.map(({ parentPath, name }) => relative(folder, join(parentPath, name))).sort()) {
    if (ignored.test(path)) continue;
    const at = join(folder, path);
    const state = await lstat(at);
    const common = `${(state.mode & 0o7777).toString(8)} ${Math.floor(state.mtimeMs / 1000)}`;
    if (state.isSymbolicLink()) found.push([path, `symlink ${await readlink(at)}`]);
    else if (state.isDirectory()) found.push([path, `directory ${common}`]);
    else {
      const first = names.get(state.ino);
      names.set(state.ino, first ?? path);
      const content = createHash('sha256')
        .update(await readFile(at))
        .digest('hex');
      found.push([
        path,
        `file ${common} ${state.size} ${content}${first === undefined ? '' : ` = ${first}`}`,
      ]);
    }
  }
  return Object.fromEntries(found);
}

const text = (path: string) => readFile(path, 'utf8');

describe('extractImage()', () => {
  test('extractImage() applies layers in order with whiteouts of every kind', async () => {
    await using it = await imageOf([
      [
        { path: 'etc/' },
        { path: 'etc/motd', content: 'old' },
        { path: 'etc/gone', content: 'x' },
        { path: 'cache/' },
        { path: 'cache/old', content: 'x' },
        { path: 'becomes-file/' },
        { path: 'becomes-file/x', content: 'x' },
        { path: 'becomes-directory', content: 'x' },
        { path: 'becomes-link', content: 'x' },
        { path: 'one', content: 'shared', mode: 0o755, mtime: 1_500_000_000 },
        { path: 'two', type: 'link', linkTarget: 'one', mode: 0o755, mtime: 1_500_000_000 },
      ],
      [
        { path: 'etc/motd', content: 'new' },
        { path: 'etc/.wh.gone' },
        { path: 'cache/.wh..wh..opq' },
        { path: 'cache/new', content: 'x'.repeat(3 * 2 ** 20) },
        { path: 'becomes-file', content: 'now a file' },
        { path: 'becomes-directory/' },
        { path: 'becomes-directory/x', content: 'x' },
        { path: 'becomes-link', type: 'symlink', linkTarget: 'etc/motd' },
        { path: 'one', content: 'no longer shared' },
        { path: 'implied/deep/empty', content: '' },
      ],
    ]);
    const extraction = await extractImage(it.image, it.target, { source: it.source });
    expect(extraction).toEqual({
      directory: it.target,
      files: 7,
      bytes: 3 + 3 * 2 ** 20 + 10 + 1 + 16 + 6 + 0,
      directories: 6,
      symlinks: 1,
      hardlinks: 0,
      skipped: [],
      skippedEntries: 0,
      notices: [],
      noticed: { 'set-id': 0, xattrs: 0, 'outside-link': 0, 'unportable-name': 0, 'name-collision': 0 },
      anomalies: [],
    });
    expect((await readdir(it.target, { recursive: true })).sort()).toEqual([
      'becomes-directory',
      'becomes-directory/x',
      'becomes-file',
      'becomes-link',
      'cache',
      'cache/new',
      'etc',
      'etc/motd',
      'implied',
      'implied/deep',
      'implied/deep/empty',
      'one',
      'two',
    ]);
    expect(await text(join(it.target, 'becomes-link'))).toBe('new');
    expect([await text(join(it.target, 'one')), await text(join(it.target, 'two'))]).toEqual([
      'no longer shared',
      'shared',
    ]);
    expect(await lstat(join(it.target, 'two'))).toMatchObject({ mode: 0o100755, mtimeMs: 1_500_000_000_000 });
    expect(await readdir(it.folder)).toEqual(['target']);
  });

  test('extractImage() keeps names of one file together, wherever its first name went', async () => {
    await using it = await imageOf([
      [
        { path: 'a', content: 'shared' },
        { path: 'b', type: 'link', linkTarget: 'a' },
        { path: 'c', type: 'link', linkTarget: 'b' },
      ],
      [{ path: '.wh.a' }],
    ]);
    const { files, hardlinks } = await extractImage(it.image, it.target, { source: it.source });
    expect({ files, hardlinks }).toEqual({ files: 1, hardlinks: 1 });
    const [b, c] = [await lstat(join(it.target, 'b')), await lstat(join(it.target, 'c'))];
    expect([b.ino, b.nlink]).toEqual([c.ino, 2]);
  });

  test('extractImage() leaves nothing behind when a later layer is not what the config says', async () => {
    await using it = await imageOf([[{ path: 'a', content: 'a' }], [{ path: 'b', content: 'b' }]]);
    const lying = { ...it.image, diffIds: [it.image.diffIds[0]!, digestOf('other')] };
    await expect(extractImage(lying, it.target, { source: it.source })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      details: { layer: 1 },
    });
    expect(await readdir(it.folder)).toEqual([]);
  });

  test('extractImage() bounds all layers together', async () => {
    const layers = [1, 2, 3].map((number) => [{ path: `file${number}`, content: 'x'.repeat(10_000) }]);
    await using it = await imageOf(layers);
    for (const limits of [{ maxUncompressedBytes: 30_000 }, { maxEntries: 2 }]) {
      await expect(extractImage(it.image, it.target, { source: it.source, limits })).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
      });
      expect(await readdir(it.folder)).toEqual([]);
    }
  });
});

describe('extractLayer()', () => {
  async function* layer(files: readonly TestFile[]): AsyncGenerator<Uint8Array> {
    yield await makeTar(files);
  }

  test('extractLayer() refuses what is there already, and replaces it only when asked', async () => {
    await using it = await scratch();
    const target = join(it.folder, 'target');
    await mkdir(join(target, 'mine'), { recursive: true });
    const files = [{ path: 'a', content: 'a' }];
    await expect(extractLayer(layer(files), target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await readdir(target)).toEqual(['mine']);
    await extractLayer(layer(files), target, { overwrite: true });
    expect(await readdir(target)).toEqual(['a']);
    await rm(join(target, 'a'));
    await extractLayer(layer(files), target);
    expect([await readdir(target), await readdir(it.folder)]).toEqual([['a'], ['target']]);
  });

  test('extractLayer() keeps what it was to replace when it fails', async () => {
    await using it = await scratch();
    const target = join(it.folder, 'target');
    await mkdir(join(target, 'mine'), { recursive: true });
    const failing = extractLayer(layer([{ path: '../a' }]), target, { overwrite: true });
    await expect(failing).rejects.toMatchObject({ code: 'INVALID_LAYER' });
    expect([await readdir(target), await readdir(it.folder)]).toEqual([['mine'], ['target']]);
  });

  test('extractLayer() does not follow a link in place of the directory', async () => {
    await using it = await scratch();
    await mkdir(join(it.folder, 'elsewhere'));
    await symlink('elsewhere', join(it.folder, 'link'));
    await writeFile(join(it.folder, 'file'), '');
    for (const [name, overwrite] of [
      ['link', false],
      ['link', true],
      ['file', true],
    ] as const) {
      const extracting = extractLayer(layer([{ path: 'a' }]), join(it.folder, name), { overwrite });
      await expect(extracting).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
    }
    const orphan = extractLayer(layer([{ path: 'a' }]), join(it.folder, 'none/target'));
    await expect(orphan).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await readdir(it.folder)).sort()).toEqual(['elsewhere', 'file', 'link']);
    expect(await readdir(join(it.folder, 'elsewhere'))).toEqual([]);
  });

  test('extractLayer() that is aborted rejects with the reason and leaves nothing', async () => {
    await using it = await scratch();
    const reason = new Error('enough');
    const abort = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield entry({ name: 'a', body: 'a' });
      yield entry({ name: 'large', size: '00010000000\0' });
      for (let count = 0; ; count += 1) {
        if (count === 3) abort.abort(reason);
        yield Buffer.alloc(2 ** 20);
      }
    }
    const extracting = extractLayer(endless(), join(it.folder, 'target'), { signal: abort.signal });
    await expect(extracting).rejects.toBe(reason);
    expect(await readdir(it.folder)).toEqual([]);
    await expect(extractLayer(endless(), join(it.folder, 'target'), { signal: abort.signal })).rejects.toBe(
      reason,
    );
  });

  test('extractLayer() keeps names that are not UTF-8', async () => {
    await using it = await scratch();
    const name = Buffer.from([0x61, 0xff, 0xc3, 0xa9]);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      const header = entry({ name: 'xxxx', body: 'content' });
      const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0);
      const checksum =
        Number.parseInt(header.toString('latin1', 148, 154), 8) - sum(header.subarray(0, 4)) + sum(name);
      name.copy(header);
      header.write(checksum.toString(8).padStart(6, '0'), 148);
      yield header;
      yield end;
    }
    await extractLayer(chunks(), join(it.folder, 'target'));
    expect(await readdir(join(it.folder, 'target'), { encoding: 'buffer' })).toEqual([name]);
  });
});

describe.skipIf(!available('docker-engine', 'docker', 'tar'))('extractImage() beside the engine', () => {
  test('gives what docker export and tar give', { timeout: 120_000 }, async () => {
    await using it = await scratch();
    const tag = `imagevet-extract-${randomUUID()}`;
    const changes = [
      'cd /usr/share',
      'rm -rf doc man /etc/motd',
      'mkdir -m 1777 doc',
      'echo new > doc/new',
      'ln doc/new doc/again',
      'rm -rf /opt && ln -s /usr/share/doc /opt',
      'cp /bin/true /usr/local/bin/set-id && chmod 6755 /usr/local/bin/set-id',
      'mv /etc/passwd- /etc/renamed 2>/dev/null || cp /etc/passwd /etc/renamed',
      'rm /etc/issue && mkdir /etc/issue && touch /etc/issue/x',
    ].join('\n');
    const archive = join(it.folder, 'image.tar');
    const exported = join(it.folder, 'exported');
    await mkdir(exported);
    try {
      await run('docker', [
        'run',
        '--network=host',
        `--name=${tag}`,
        'local/debian:bookworm-slim',
        'sh',
        '-ec',
        changes,
      ]);
      await run('docker', ['commit', tag, tag]);
      await run('docker', ['save', '-o', archive, tag]);
      await run('docker', ['create', '--network=host', `--name=${tag}-2`, tag]);
      await run('docker', ['export', '-o', join(it.folder, 'export.tar'), `${tag}-2`]);
      await run('tar', ['-xpf', join(it.folder, 'export.tar'), '-C', exported]);
    } finally {
      await run('docker', ['rm', '-f', tag, `${tag}-2`]).catch(() => undefined);
      await run('docker', ['rmi', tag]).catch(() => undefined);
    }
    const source = await openDockerArchive(archive);
    const image = await resolveImage(parseReference(tag), { source });
    const target = join(it.folder, 'target');
    const extraction = await extractImage(image, target, { source, keepModes: true });
    const ours = await facts(target, MADE_BY_THE_ENGINE);
    expect(Object.keys(ours).length).toBeGreaterThan(2000);
    expect(ours).toEqual(await facts(exported, MADE_BY_THE_ENGINE));
    expect(extraction.anomalies).toEqual([]);
    // The base was made by debootstrap, which leaves device nodes.
    for (const { path, reason } of extraction.skipped) {
      expect([path, reason]).toEqual([expect.stringMatching(/^\/dev\//), 'device']);
    }
  });
});

/** What creating a container adds to its image. */
const MADE_BY_THE_ENGINE =
  /^(?:\.dockerenv|dev|proc|sys|etc|etc\/(?:hostname|hosts|resolv\.conf|mtab))$|^(?:dev|proc|sys)\//;
