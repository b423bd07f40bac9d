import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from '../../../../../test/services.ts';
import { makeRpmRoot, type PackageSpec, type RpmRoot } from './__fixtures__/rpm-root.ts';
import { writeBerkeley, writeNdb } from './__fixtures__/write-databases.ts';
import { writeHeader } from './__fixtures__/write-header.ts';
import { ByteBudget, MAX_DATABASE_BYTES } from './database-error.ts';
import { type RpmPackage, readRpmDatabase } from './rpm-database.ts';
import { rpmFiles } from './rpm-files.ts';
import { SqliteDatabase } from './sqlite.ts';

const specs: readonly PackageSpec[] = [
  {
    name: 'tool',
    version: '2.0',
    epoch: 1,
    files: { '/usr/bin/tool': 'run', '/usr/bin/tool2': '-> tool', '/etc/tool.conf': 'a=1' },
    listed: [
      '%attr(0755,root,root) /usr/bin/tool',
      '/usr/bin/tool2',
      '%config(noreplace) /etc/tool.conf',
      '%ghost /var/log/tool.log',
    ],
  },
  { name: 'empty', version: '0~rc1' },
  // Larger than a page, so that its header is in overflow pages.
  {
    name: 'large',
    version: '7',
    files: Object.fromEntries(
      Array.from({ length: 400 }, (_, index) => [`/usr/share/large/${index % 7}/é${index}`, `${index}`]),
    ),
  },
];

/** As `rpm -qa` prints it with {@link FORMAT}. */
function lines(packages: readonly RpmPackage[]): string[] {
  return packages.map(({ name, version, architecture, sourceRpm, header }) => {
    const files = rpmFiles(header, new ByteBudget(1e6)).map(
      ({ path, mode, digest, linkTarget, ghost, config }) =>
        [
          path,
          (mode & 0xffff).toString(8),
          digest?.hex ?? '',
          linkTarget ?? '',
          Number(config),
          Number(ghost),
        ].join(','),
    );
    return [name, version, architecture, sourceRpm, ...files].join(' ');
  });
}

const FORMAT =
  '%{NAME} %{EVR} %{ARCH} %{SOURCERPM}[ %{FILENAMES},%{FILEMODES:octal},%{FILEDIGESTS},%{FILELINKTOS},%{FILEFLAGS}]\\n';

/** Flags of `%config` and `%ghost` in place of rpm's number. */
function flagged(line: string): string {
  return line.replaceAll(
    /,(\d+)(?= |$)/g,
    (_, flags: string) => `,${Number(flags) & 1},${(Number(flags) >> 6) & 1}`,
  );
}

describe.skipIf(!available('rpm', 'rpmbuild', 'db5.3_load'))('readRpmDatabase() of what rpm wrote', () => {
  let root: RpmRoot;
  let oracle: readonly string[];
  let headers: readonly Buffer[];

  beforeAll(() => {
    root = makeRpmRoot();
    root.install(...specs);
    oracle = root.query(FORMAT).map(flagged).toSorted();
    headers = [...new SqliteDatabase(root.read('rpmdb.sqlite')).rows('Packages')].map(
      ({ values }) => values[1] as Buffer,
    );
  }, 60_000);
  afterAll(() => root.close());

  test('readRpmDatabase() reads of SQLite what rpm reads', () => {
    expect(oracle).toHaveLength(3);
    expect(
      lines(readRpmDatabase(root.read('rpmdb.sqlite'), root.read('rpmdb.sqlite-wal'))).toSorted(),
    ).toEqual(oracle);
  });

  test('readRpmDatabase() reads the same of ndb and of Berkeley DB', () => {
    expect(lines(readRpmDatabase(writeNdb(headers))).toSorted()).toEqual(oracle);
    for (const bigEndian of [false, true]) {
      for (const pageBytes of [512, 4096, 65_536]) {
        const packages = readRpmDatabase(writeBerkeley(headers, { bigEndian, pageBytes }));
        expect(lines(packages).toSorted()).toEqual(oracle);
        expect(packages.map(({ number }) => number).toSorted()).toEqual([1, 2, 3]);
      }
    }
  });

  test('readRpmDatabase() of a changed database never crashes, and never takes more than its bytes', () => {
    const databases = [
      root.read('rpmdb.sqlite'),
      writeNdb(headers),
      writeBerkeley(headers, { pageBytes: 512 }),
    ];
    const change = fc.tuple(fc.nat(), fc.nat(255));
    fc.assert(
      fc.property(
        fc.nat(2),
        fc.array(change, { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (which, changes, cut) => {
          const original = databases[which]!;
          const bytes = Buffer.from(cut % 3 === 0 ? original.subarray(0, cut % original.length) : original);
          // Half of the changes where the structure is.
          for (const [index, [at, byte]] of changes.entries())
            bytes[at % (index % 2 === 0 ? bytes.length : 600)] = byte;
          expectReadOrRefused(bytes);
        },
      ),
      { numRuns: 1500 },
    );
  });
});

describe('readRpmDatabase()', () => {
  const headers = Array.from({ length: 300 }, (_, index) =>
    writeHeader({
      name: `p${index}`,
      version: '1',
      epoch: index,
      files: [{ path: `/usr/lib/p${index}`, digest: 'ab' }],
    }),
  );

  test('readRpmDatabase() reads slots over several pages of ndb', () => {
    const packages = readRpmDatabase(writeNdb(headers));
    expect(packages).toHaveLength(300);
    expect(packages[299]).toMatchObject({
      name: 'p299',
      version: '299:1-1',
      architecture: 'x86_64',
      number: 300,
    });
    expect(rpmFiles(packages[7]!.header, new ByteBudget(100))).toEqual([
      {
        ...{ path: '/usr/lib/p7', mode: 0o100644, digest: { algorithm: 'sha256', hex: 'ab' } },
        ...{ config: false, ghost: false, installed: true },
      },
    ]);
  });

  test('readRpmDatabase() has no paths for a header whose directories multiply', () => {
    const [{ header }] = readRpmDatabase(writeNdb([headers[0]!])) as [RpmPackage];
    expect(() => rpmFiles(header, new ByteBudget(5))).toThrow('larger than the file');
  });

  test('readRpmDatabase() refuses a database beyond its bound before it reads it', () => {
    const bytes = Buffer.alloc(MAX_DATABASE_BYTES + 1);
    expect(() => readRpmDatabase(bytes)).toThrow(
      expect.objectContaining({ code: 'PACKAGE_DATABASE_TOO_LARGE' }),
    );
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('SQLite format 3\0')],
    ['zeros', Buffer.alloc(8192)],
    [
      'an ndb whose header claims more',
      Buffer.concat([
        writeNdb(headers).subarray(0, 12),
        Buffer.from([255, 255, 255, 255]),
        writeNdb(headers).subarray(16),
      ]),
    ],
    ['an ndb cut off', writeNdb(headers).subarray(0, -16)],
    ['a header that is none', writeNdb([Buffer.from('no header')])],
  ])('readRpmDatabase() refuses %s', (_name, bytes) => {
    expect(() => readRpmDatabase(bytes)).toThrow(
      expect.objectContaining({ code: 'PACKAGE_DATABASE_INVALID' }),
    );
  });

  test('readRpmDatabase() of any header never crashes', () => {
    const good = writeHeader({
      name: 'a',
      version: '1',
      files: [{ path: '/a', digest: 'ab' }, { path: '/b/c' }],
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.uint8Array(),
        (changes, tail) => {
          const bytes = Buffer.concat([good, tail]);
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          expectReadOrRefused(writeNdb([bytes]));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

function expectReadOrRefused(bytes: Buffer): void {
  try {
    const packages = readRpmDatabase(bytes);
    const size = packages.reduce(
      (total, { header }) => total + [...header.values()].reduce((sum, { data }) => sum + data.length, 0),
      0,
    );
    expect(size).toBeLessThanOrEqual(bytes.length);
    const budget = new ByteBudget(1e6);
    for (const { header } of packages) rpmFiles(header, budget);
  } catch (error) {
    expect(error).toMatchObject({ code: 'PACKAGE_DATABASE_INVALID' });
  }
}
