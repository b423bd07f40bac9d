// Attack row 38 and threat S13: archives that want to write outside, each by its name. None may.
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ImagevetError } from '../errors.ts';
import { end, entry, pax, type RawHeader, record } from '../testing/raw-tar.ts';
import { extractLayer } from './extract-image.ts';
import type { Extraction, ExtractOptions } from './types.ts';

/** A directory to fill, and beside it things that must stay as they are. */
async function sandbox() {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'imagevet-extract-')));
  const outside = join(base, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'canary'), 'alive');
  return {
    outside,
    target: join(base, 'target'),
    /** Everything that is there now, but for the inside of the directory. */
    async check(): Promise<void> {
      expect((await readdir(base)).filter((name) => name !== 'target')).toEqual(['outside']);
      expect(await readdir(outside)).toEqual(['canary']);
      expect(await readFile(join(outside, 'canary'), 'utf8')).toBe('alive');
      // A hardlink from inside would raise it.
      expect((await lstat(join(outside, 'canary'))).nlink).toBe(1);
    },
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}

async function* archive(parts: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  yield* parts;
  yield end;
}

const file = (name: string, body = 'evil') => entry({ name, body });
const directory = (name: string) => entry({ name, flag: '5', mode: '0000755\0' });
const symlink = (name: string, linkName: string) => entry({ name, flag: '2', linkName });
const hardlink = (name: string, linkName: string) => entry({ name, flag: '1', linkName });
const named = (name: string, fields: Partial<RawHeader> = {}) => [
  pax(record('path', name)),
  entry({ name: 'x', body: 'evil', ...fields }),
];

/** What is in a directory, as `path`, `path/` or `path -> target`; links are not followed. */
async function listing(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = relative(folder, join(item.parentPath, item.name));
    if (item.isSymbolicLink()) found.push(`${path} -> ${await readlink(join(folder, path))}`);
    else found.push(item.isDirectory() ? `${path}/` : path);
  }
  return found.sort();
}

describe('row 38, S13: extractLayer() refuses the whole archive', () => {
  test.each<[what: string, parts: (outside: string) => Buffer[], code: string]>([
    ['a name that climbs out', () => [file('../outside/canary')], 'INVALID_LAYER'],
    ['a name that climbs out deep inside', () => [file('a/b/../../../outside/canary')], 'INVALID_LAYER'],
    ['a PAX name that climbs out', () => named('../outside/canary'), 'INVALID_LAYER'],
    [
      'a GNU long name that climbs out',
      () => [entry({ name: 'L', flag: 'L', body: '../outside/canary\0' }), file('x')],
      'INVALID_LAYER',
    ],
    ['a hardlink that climbs out', () => [hardlink('x', '../outside/canary')], 'INVALID_LAYER'],
    [
      'a PAX hardlink that climbs out',
      () => [pax(record('linkpath', '../outside/canary')), hardlink('x', 'y')],
      'INVALID_LAYER',
    ],
    ['a directory that climbs out', () => [directory('../outside/new/')], 'INVALID_LAYER'],
    ['a symlink whose name climbs out', () => [symlink('../outside/new', 'canary')], 'INVALID_LAYER'],
    ['a whiteout of the parent', () => [file('.wh...')], 'INVALID_LAYER'],
    ['a NUL inside a name', () => named('safe\0/../../outside/canary'), 'INVALID_LAYER'],
    ['a path beyond PATH_MAX', () => named(`${'d/'.repeat(2100)}x`), 'LIMIT_EXCEEDED'],
    ['a file cut off', () => [file('before'), entry({ name: 'x', size: '00000010000\0' })], 'INVALID_LAYER'],
    [
      'a bomb',
      () => [gzipSync(Buffer.concat([file('x', '\0'.repeat(80 * 2 ** 20)), end]))],
      'LIMIT_EXCEEDED',
    ],
    ['a negative size', () => [entry({ name: 'x', size: Buffer.alloc(12, 0xff) })], 'INVALID_LAYER'],
  ])('%s', async (_what, parts, code) => {
    await using box = await sandbox();
    const error = await extractLayer(archive(parts(box.outside)), box.target).catch(
      (caught: unknown) => caught,
    );
    expect(ImagevetError.is(error)).toBe(true);
    expect(error).toMatchObject({ code });
    await expect(lstat(box.target)).rejects.toMatchObject({ code: 'ENOENT' });
    await box.check();
  });
});

type Case = [
  what: string,
  parts: (outside: string) => Buffer[],
  expected: (outside: string) => readonly string[],
  facts?: Partial<Extraction> | object,
  options?: ExtractOptions,
];

describe('row 38, S13: extractLayer() keeps inside', () => {
  const skipped = (path: string, reason: string) => ({
    skipped: [expect.objectContaining({ path, reason })],
  });
  const noticed = (path: string, kind: string) => ({ notices: expect.arrayContaining([{ path, kind }]) });
  test.each<Case>([
    [
      'an absolute name',
      (outside) => named(`${outside}/canary`),
      (outside) => tree(`${outside.slice(1)}/canary`),
    ],
    [
      'a file through an absolute symlink',
      (outside) => [symlink('link', outside), file('link/canary')],
      () => ['link/', 'link/canary'],
      { anomalies: [{ kind: 'parent-not-directory', path: '/link' }] },
    ],
    [
      'a file through a relative symlink',
      () => [symlink('link', '../outside'), file('link/canary')],
      () => ['link/', 'link/canary'],
    ],
    [
      'a file over a symlink',
      (outside) => [symlink('link', `${outside}/canary`), file('link')],
      () => ['link'],
    ],
    [
      'a symlink chain that climbs step by step',
      () => [
        directory('a/'),
        symlink('a/up', '..'),
        symlink('a/upper', 'up/../outside'),
        file('a/upper/canary'),
      ],
      () => ['a/', 'a/up -> ..', 'a/upper/', 'a/upper/canary'],
    ],
    [
      'a directory that becomes a symlink and is used again',
      (outside) => [directory('d/'), symlink('d', outside), file('d/canary')],
      () => ['d/', 'd/canary'],
    ],
    [
      'a symlink that becomes a directory entry',
      (outside) => [symlink('d', outside), directory('d/'), file('d/canary')],
      () => ['d/', 'd/canary'],
    ],
    [
      'a hardlink to a symlink that leads out, written through',
      (outside) => [symlink('s', `${outside}/canary`), hardlink('h', 's'), file('h')],
      (outside) => ['h', `s -> ${outside}/canary`],
    ],
    [
      'a hardlink to a symlink',
      (outside) => [symlink('s', `${outside}/canary`), hardlink('h', 's')],
      (outside) => [`h -> ${outside}/canary`, `s -> ${outside}/canary`],
    ],
    [
      'a hardlink to an absolute path outside',
      (outside) => [hardlink('x', `${outside}/canary`)],
      () => [],
      skipped('/x', 'dangling-hardlink'),
    ],
    [
      'a hardlink through a symlink',
      (outside) => [symlink('s', outside), hardlink('x', 's/canary')],
      (outside) => [`s -> ${outside}`],
      skipped('/x', 'dangling-hardlink'),
    ],
    ['a hardlink to itself', () => [hardlink('x', 'x')], () => [], skipped('/x', 'dangling-hardlink')],
    [
      'a hardlink to a directory',
      () => [directory('d/'), hardlink('x', 'd')],
      () => ['d/'],
      skipped('/x', 'dangling-hardlink'),
    ],
    [
      'a character device',
      () => [entry({ name: 'x', flag: '3', major: '0000001\0' })],
      () => [],
      skipped('/x', 'device'),
    ],
    [
      'a block device',
      () => [entry({ name: 'x', flag: '4', major: '0000010\0' })],
      () => [],
      skipped('/x', 'device'),
    ],
    ['a pipe', () => [entry({ name: 'x', flag: '6' })], () => [], skipped('/x', 'device')],
    [
      'an overlay whiteout device',
      () => [entry({ name: 'x', flag: '3' })],
      () => [],
      { ...skipped('/x', 'device'), anomalies: [{ kind: 'device-as-whiteout', path: '/x' }] },
    ],
    [
      'a symlink out, left out when asked',
      (outside) => [symlink('abs', outside), symlink('up', 'a/../../outside'), symlink('in', 'a/b')],
      () => ['in -> a/b'],
      { skippedEntries: 2, symlinks: 1 },
      { outsideLinks: 'skip' },
    ],
    [
      'symlinks that lead out only together, left out when asked',
      () => [
        directory('a/'),
        directory('a/b/'),
        symlink('a/b/up', '../..'),
        symlink('out', 'a/b/up/../outside'),
        symlink('again', 'out'),
        symlink('fine', 'a/b/up/a'),
      ],
      () => ['a/', 'a/b/', 'a/b/up -> ../..', 'fine -> a/b/up/a'],
      { skippedEntries: 2, noticed: expect.objectContaining({ 'outside-link': 0 }) },
      { outsideLinks: 'skip' },
    ],
    [
      'a symlink circle',
      () => [symlink('a', 'b'), symlink('b', 'a'), file('a/x')],
      () => ['a/', 'a/x', 'b -> a'],
    ],
    ['a symlink to nothing', () => [symlink('x', '')], () => [], skipped('/x', 'empty-link')],
    [
      'backslashes',
      () => named('..\\..\\outside\\canary'),
      () => ['..\\..\\outside\\canary'],
      noticed('/..\\..\\outside\\canary', 'unportable-name'),
    ],
    [
      'backslashes, when portable',
      () => named('a\\b'),
      () => [],
      skipped('/a\\b', 'unportable-name'),
      { portable: true },
    ],
    [
      'a drive letter, when portable',
      () => named('C:/Windows/x'),
      () => [],
      {
        skippedEntries: 3,
        skipped: expect.arrayContaining([{ path: '/C:/Windows/x', type: 'file', reason: 'parent-skipped' }]),
      },
      { portable: true },
    ],
    [
      'a device of Windows, when portable',
      () => named('etc/nul.txt'),
      () => ['etc/'],
      skipped('/etc/nul.txt', 'unportable-name'),
      { portable: true },
    ],
    [
      'names that differ in case',
      () => [file('Readme'), file('README')],
      () => ['README', 'Readme'],
      noticed('/Readme', 'name-collision'),
    ],
    [
      'names that differ in case, when portable',
      (outside) => [symlink('LINK', outside), directory('link/'), file('link/canary')],
      (outside) => [`LINK -> ${outside}`],
      { skippedEntries: 2 },
      { portable: true },
    ],
    [
      'names that differ in normalisation',
      () => [...named('caf\u00e9'), ...named('cafe\u0301')],
      () => ['cafe\u0301', 'caf\u00e9'],
      noticed('/caf\u00e9', 'name-collision'),
    ],
    [
      'names that one system writes alike (ß and SS)',
      () => [...named('stra\u00dfe'), ...named('STRASSE')],
      () => ['STRASSE'],
      skipped('/stra\u00dfe', 'name-collision'),
      { portable: true },
    ],
    ['a name beyond NAME_MAX', () => named(`${'n'.repeat(256)}/x`), () => [], { skippedEntries: 2 }],
    ['set-id bits', () => [entry({ name: 'x', mode: '0006755\0' })], () => ['x'], noticed('/x', 'set-id')],
    [
      'a file capability',
      () => [pax(record('SCHILY.xattr.security.capability', 'x')), file('x')],
      () => ['x'],
      noticed('/x', 'xattrs'),
    ],
    ['a whiteout', () => [file('.wh.x'), file('d/.wh..wh..opq')], () => [], { skippedEntries: 2 }],
    [
      'an entry for the root that is no directory',
      () => [symlink('./', '../outside'), file('x')],
      () => ['x'],
    ],
    [
      'a path again and again',
      (outside) => [file('x', 'one'), symlink('x', outside), directory('x/'), file('x', 'last')],
      () => ['x'],
      { files: 1, bytes: 4 },
    ],
  ])('%s', async (_what, parts, expected, facts = {}, options = {}) => {
    await using box = await sandbox();
    const extraction = await extractLayer(archive(parts(box.outside)), box.target, options);
    expect(await listing(box.target)).toEqual(expected(box.outside));
    expect(extraction).toMatchObject(facts);
    await box.check();
  });

  test('set-id bits stay only when asked', async () => {
    const parts = [entry({ name: 'x', mode: '0006711\0' }), entry({ name: 'y', mode: '0000000\0' })];
    const modes = async (options: ExtractOptions) => {
      await using box = await sandbox();
      await extractLayer(archive(parts), box.target, options);
      return [
        (await lstat(join(box.target, 'x'))).mode & 0o7777,
        (await lstat(join(box.target, 'y'))).mode & 0o7777,
      ];
    };
    expect(await modes({})).toEqual([0o711, 0o600]);
    expect(await modes({ keepModes: true })).toEqual([0o6711, 0]);
  });
});

/** A path and its directories, as `listing` shows them. */
function tree(path: string): string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/') + (index + 1 < parts.length ? '/' : ''));
}

test('extractLayer() writes nothing outside for any entries', { timeout: 60_000 }, async () => {
  await using box = await sandbox();
  const part = fc.constantFrom(
    'a',
    'b',
    'A',
    '..',
    '.',
    '',
    'outside',
    'canary',
    '.wh.a',
    '.wh..wh..opq',
    'a\\b',
  );
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const target = fc.oneof(
    path,
    fc.constantFrom(box.outside, `${box.outside}/canary`, '..', '../outside', '/'),
  );
  const item = fc.record({ name: path, flag: fc.constantFrom('0', '1', '2', '5', '6'), linkName: target });
  await fc.assert(
    fc.asyncProperty(fc.array(item, { maxLength: 12 }), fc.boolean(), async (items, skip) => {
      await rm(box.target, { recursive: true, force: true });
      const parts = items.map((fields) => entry(fields.flag === '0' ? { ...fields, body: 'evil' } : fields));
      try {
        await extractLayer(archive(parts), box.target, { outsideLinks: skip ? 'skip' : 'keep' });
        if (skip) await expectNoWayOut(box.target);
      } catch (error) {
        if (!ImagevetError.is(error)) throw error;
      }
      await box.check();
    }),
    { numRuns: 400 },
  );
});

/** Follows everything in a directory as the host does. */
async function expectNoWayOut(folder: string): Promise<void> {
  // With types, or the listing itself would follow links, in circles.
  for (const { parentPath, name } of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const real = await realpath(join(parentPath, name)).catch(() => folder);
    expect(real === folder || real.startsWith(`${folder}/`)).toBe(true);
  }
}
