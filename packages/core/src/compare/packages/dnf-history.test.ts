import { describe, expect, test } from 'vitest';
import { build, compare, type Files } from '../__fixtures__/memory-image.ts';
import { makeSqlite } from '../databases/__fixtures__/make-sqlite.ts';
import { writeNdb } from '../databases/__fixtures__/write-databases.ts';
import { writeHeader } from '../databases/__fixtures__/write-header.ts';

interface Transaction {
  readonly time: number;
  readonly version: string;
  readonly command?: string;
  readonly other?: string;
  readonly sum?: string;
}

/** The history of one transaction, mostly in the write-ahead log as dnf leaves it, and the database it is of. */
function image({
  time,
  version,
  command = 'install tool',
  other = '1',
  sum = `sum of ${version}`,
}: Transaction): Files {
  const { bytes, log } = makeSqlite((database) => {
    database.exec(`
      PRAGMA journal_mode = WAL;
      CREATE TABLE trans (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dt_begin INTEGER NOT NULL, /* (unix timestamp) begin, of all */
        dt_end INTEGER, -- end, in seconds
        rpmdb_version_begin TEXT,
        rpmdb_version_end TEXT,
        cmdline TEXT /* recorded (program, options, arguments) */
      );
      CREATE TABLE rpm (item_id INTEGER UNIQUE NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL, version TEXT NOT NULL,
        release TEXT NOT NULL, arch TEXT NOT NULL, CONSTRAINT rpm_unique_nevra UNIQUE (name, epoch, version, release, arch));
    `);
    database
      .prepare('INSERT INTO trans VALUES (?, ?, ?, ?, ?, ?)')
      .run(1, time, time + 1, 'none', sum, command);
    const item = database.prepare('INSERT INTO rpm VALUES (?, ?, 0, ?, 1, ?)');
    item.run(1, 'tool', version, 'x86_64');
    item.run(2, 'other', other, 'x86_64');
  });
  expect(log.length).toBeGreaterThan(4096);
  const packages = [
    { name: 'tool', version, installTime: time },
    { name: 'other', version: '1' },
  ];
  return {
    '/var/lib/rpm/Packages.db': { content: writeNdb(packages.map(writeHeader)) },
    '/var/lib/dnf/history.sqlite': { content: bytes },
    '/var/lib/dnf/history.sqlite-wal': { content: log },
  };
}

async function graded(one: Files, other: Files) {
  const { grade, differences } = await compare(await build([one]), await build([other]));
  const ofHistory = differences.filter(({ path }) => path.startsWith('/var/lib/dnf/'));
  return [grade, ...new Set(ofHistory.map(({ explanation }) => explanation))];
}

const original = image({ time: 1_700_000_000, version: '1' });

describe('compareImages() of the history of dnf', () => {
  test('compareImages() takes times of transactions for no difference', async () => {
    expect(await graded(original, image({ time: 1_700_000_900, version: '1' }))).toEqual([
      'same-content',
      'times in the history of dnf',
    ]);
  });

  test('compareImages() grades same-packages where only checksums over what is installed differ', async () => {
    expect(await graded(original, image({ time: 1_700_000_900, version: '1', sum: 'another' }))).toEqual([
      'same-packages',
      'checksums over what was installed, in the history of dnf',
    ]);
  });

  test('compareImages() explains a history by the packages that moved', async () => {
    expect(await graded(original, image({ time: 1_700_000_900, version: '2' }))).toEqual([
      'explained',
      'history of the versions of packages that moved',
    ]);
  });

  test.each([
    ['another command', image({ time: 1_700_000_900, version: '1', command: 'install evil' })],
    ['a version of a package that did not move', image({ time: 1_700_000_900, version: '1', other: '2' })],
    ['a history cut off', { ...original, '/var/lib/dnf/history.sqlite': 'SQLite format 3\0' }],
    [
      'a program in its place',
      { ...original, '/var/lib/dnf/history.sqlite': { content: '#!', mode: 0o755 } },
    ],
  ])('row 40: compareImages() does not explain %s', async (_name, other) => {
    expect(await graded(original, other)).toEqual(['unexplained', undefined]);
  });
});
