import { digestOf } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { build, compare, type Files } from './__fixtures__/memory-image.ts';
import { makeRpmRoot, type PackageSpec, type RpmRoot } from './databases/__fixtures__/rpm-root.ts';
import {
  type IndexEntries,
  writeBerkeley,
  writeBerkeleyIndex,
  writeNdb,
  writeNdbIndex,
} from './databases/__fixtures__/write-databases.ts';
import { type HeaderFields, writeHeader } from './databases/__fixtures__/write-header.ts';
import { MAX_DATABASE_BYTES } from './databases/database-error.ts';

const library = '/usr/lib64/libx.so.1';

/** A package of one library, with a link to it. */
function libx(version: string, content: string, more: Partial<HeaderFields> = {}): HeaderFields {
  return {
    ...{ name: 'libx', version },
    files: [
      { path: library, mode: 0o100755, digest: digestOf(content).slice(7) },
      { path: '/usr/lib64/libx.so', mode: 0o120777, link: 'libx.so.1' },
      { path: '/usr/share/doc/libx', mode: 0o040755 },
      { path: '/var/log/libx.log', flags: 64 },
    ],
    ...more,
  };
}

const bash: HeaderFields = {
  name: 'bash',
  version: '5.1',
  files: [{ path: '/usr/bin/bash', digest: digestOf('bash').slice(7) }],
};

function image(packages: readonly HeaderFields[], files: Files, directory = '/var/lib/rpm'): Files {
  return {
    [`${directory}/Packages.db`]: { content: writeNdb(packages.map(writeHeader)) },
    '/usr/bin/bash': { content: 'bash', mode: 0o755 },
    '/usr/lib64/libx.so': { type: 'symlink', linkname: 'libx.so.1' },
    ...files,
  };
}

async function explained(original: Files, rebuilt: Files) {
  const comparison = await compare(await build([original]), await build([rebuilt]));
  const { grade, differences, packages, unreadDatabases } = comparison;
  const open = differences.filter(({ explanation }) => explanation === undefined);
  return {
    grade,
    unexplained: open.map(({ path }) => path),
    causes: differences.map(({ path, explanation }) => `${path}: ${explanation}`),
    packages: packages?.map(({ manager, name, original: one, rebuilt: other }) =>
      [manager, name, one, other].join(' '),
    ),
    unreadDatabases,
  };
}

const program = (content: string) => ({ [library]: { content, mode: 0o755 } });

describe('compareImages() of packages of rpm', () => {
  test.each(['/var/lib/rpm', '/usr/lib/sysimage/rpm', '/usr/share/rpm'])(
    'compareImages() explains files of a package that moved, by the database in %s',
    async (directory) => {
      const original = image([bash, libx('1.0', 'one')], program('one'), directory);
      const rebuilt = image(
        [libx('1.1', 'two', { epoch: 2 }), { ...bash, installTime: 9 }],
        program('two'),
        directory,
      );
      expect(await explained(original, rebuilt)).toMatchObject({
        grade: 'explained',
        packages: ['rpm libx 1.0-1 2:1.1-1'],
        causes: [
          `${library}: package libx moved from 1.0-1 to 2:1.1-1`,
          `${directory}/Packages.db: records of packages that moved: libx:x86_64`,
        ].sort(),
      });
    },
  );

  test('compareImages() takes times of installation for no difference', async () => {
    const original = image([bash, libx('1.0', 'one')], program('one'));
    const rebuilt = image([libx('1.0', 'one', { installTime: 7 }), bash], program('one'));
    expect(await explained(original, rebuilt)).toEqual({
      ...{ grade: 'same-content', unexplained: [], packages: [], unreadDatabases: undefined },
      causes: ['/var/lib/rpm/Packages.db: times of installation in the database of rpm'],
    });
  });

  test('row 40: compareImages() names a byte planted in a file of a package that did not move', async () => {
    const original = image([bash, libx('1.0', 'one')], program('one'));
    const planted = { ...program('two'), '/usr/bin/bash': { content: 'evil', mode: 0o755 } };
    const rebuilt = image([{ ...bash, installTime: 3 }, libx('1.1', 'two')], planted);
    expect(await explained(original, rebuilt)).toMatchObject({
      grade: 'unexplained',
      unexplained: ['/usr/bin/bash'],
    });
  });

  test.each<[string, Files, HeaderFields]>([
    ['content its digest contradicts', program('evil'), libx('1.1', 'two')],
    ['a set-user-id bit', { [library]: { content: 'two', mode: 0o4755 } }, libx('1.1', 'two')],
    ['a file it only claims', { ...program('two'), '/var/log/libx.log': 'evil' }, libx('1.1', 'two')],
    [
      'a link to elsewhere',
      { ...program('two'), '/usr/lib64/libx.so': { type: 'symlink', linkname: '/usr/bin/bash' } },
      libx('1.1', 'two'),
    ],
    ['a digest of a kind we cannot compute', program('two'), libx('1.1', 'two', { algorithm: 10 })],
    [
      'lists of files that do not belong together',
      program('two'),
      libx('1.1', 'two', { files: [{ path: 'x' }] }),
    ],
  ])(
    'row 40: compareImages() does not take a moved package for the reason of %s',
    async (_name, files, moved) => {
      const result = await explained(image([libx('1.0', 'one')], program('one')), image([moved], files));
      expect(result.grade).toBe('unexplained');
      expect(result.unexplained.filter((path) => path !== '/var/log')).toHaveLength(1);
    },
  );

  test('row 40: compareImages() does not explain a database with a changed scriptlet, a new key or less than it lists', async () => {
    const original = image([bash, libx('1.0', 'one', { script: 'ldconfig' })], program('one'));
    const scripted = image([bash, libx('1.0', 'one', { script: 'evil' })], program('one'));
    expect(await explained(original, scripted)).toMatchObject({
      ...{ grade: 'unexplained', unexplained: ['/var/lib/rpm/Packages.db'], packages: [] },
    });
    const key: HeaderFields = { name: 'gpg-pubkey', version: '1234', architecture: '(none)' };
    const trusting = image([bash, libx('1.0', 'one', { script: 'ldconfig' }), key], program('one'));
    expect(await explained(original, trusting)).toMatchObject({
      ...{ grade: 'unexplained', unexplained: ['/var/lib/rpm/Packages.db'] },
      packages: ['rpm gpg-pubkey  1234-1'],
    });
  });

  test('compareImages() lists several versions of one package together', async () => {
    const kernel = (version: string): HeaderFields => ({ name: 'kernel', version });
    const original = image([kernel('5'), kernel('4')], {});
    expect(await explained(original, image([kernel('6'), kernel('5')], {}))).toMatchObject({
      ...{ grade: 'explained', packages: ['rpm kernel 4-1, 5-1 5-1, 6-1'] },
    });
    expect(await explained(original, image([kernel('4'), kernel('5')], {}))).toMatchObject({
      grade: 'same-content',
    });
  });

  test('compareImages() says which database it could not read, and explains nothing by the other', async () => {
    const original = image([libx('1.0', 'one')], program('one'));
    const cut = image([libx('1.1', 'two')], program('two'));
    const { content } = cut['/var/lib/rpm/Packages.db'] as { content: Buffer };
    const broken = { ...cut, '/var/lib/rpm/Packages.db': { content: content.subarray(0, -16) } };
    expect(await explained(original, broken)).toMatchObject({
      ...{ grade: 'unexplained', packages: [], unexplained: [library, '/var/lib/rpm/Packages.db'] },
      unreadDatabases: [
        { side: 'rebuilt', path: '/var/lib/rpm/Packages.db', code: 'PACKAGE_DATABASE_INVALID' },
      ],
    });
  });

  test('compareImages() reads no database beyond its bound', async () => {
    const large = { '/var/lib/rpm/Packages.db': { content: Buffer.alloc(MAX_DATABASE_BYTES + 1) } };
    const original = await build([image([bash], {})]);
    expect(await compare(original, await build([large], { level: 0 }))).toMatchObject({
      ...{ grade: 'unexplained', packages: [] },
      unreadDatabases: [{ side: 'rebuilt', code: 'PACKAGE_DATABASE_TOO_LARGE' }],
    });
  }, 30_000);

  test('compareImages() believes what lies beside a database only by what it holds', async () => {
    const beside = (name: string, content: Buffer, mode = 0o644): Files => ({
      [`/var/lib/rpm/${name}`]: { content, mode },
    });
    const graded = async (one: Files, other: Files) =>
      (await explained(image([bash], one), image([{ ...bash, installTime: 4 }], other))).grade;
    const memory = Buffer.alloc(32_768);
    memory.writeUInt32LE(3_007_000);
    expect(
      await graded(beside('rpmdb.sqlite-shm', memory), beside('rpmdb.sqlite-shm', Buffer.alloc(32_768))),
    ).toBe('same-content');
    expect(
      await graded(beside('rpmdb.sqlite-shm', memory), beside('rpmdb.sqlite-shm', Buffer.alloc(32_768, 1))),
    ).toBe('unexplained');
    expect(await graded(beside('__db.001', Buffer.from('one')), beside('__db.001', Buffer.from('two')))).toBe(
      'same-content',
    );
    expect(await graded({}, beside('__db.001', Buffer.from('two')))).toBe('same-content');
    expect(await graded({}, beside('__db.001', Buffer.from('#!/bin/sh')))).toBe('unexplained');
    expect(
      await graded(
        beside('__db.001', Buffer.from('one'), 0o755),
        beside('__db.001', Buffer.from('two'), 0o755),
      ),
    ).toBe('unexplained');
    expect(await graded(beside('__db.x', Buffer.from('one')), beside('__db.x', Buffer.from('two')))).toBe(
      'unexplained',
    );
  });

  test('compareImages() reads a database of a lower layer, and what changed in the topmost', async () => {
    const lower = image([bash, libx('1.0', 'one')], program('one'));
    const database = (...packages: readonly HeaderFields[]): Files => ({
      '/var/lib/rpm/Packages.db': { content: writeNdb(packages.map(writeHeader)) },
    });
    const one = await build([lower, database(bash, libx('1.0', 'one'), { name: 'new', version: '1' })]);
    const other = await build([lower, database(bash, libx('1.0', 'one'), { name: 'new', version: '2' })]);
    const comparison = await compare(one, other);
    expect(comparison).toMatchObject({
      grade: 'explained',
      packages: [{ name: 'new', original: '1-1', rebuilt: '2-1', origin: { layer: 1 } }],
    });
  });
});

/** The database of these packages, in that order, with its indexes of names and of times. */
const formats: readonly (readonly [string, (packages: readonly HeaderFields[], name?: string) => Files])[] = [
  [
    'ndb',
    (packages, name) => ({
      '/var/lib/rpm/Packages.db': { content: writeNdb(packages.map(writeHeader)) },
      '/var/lib/rpm/Index.db': {
        content: writeNdbIndex(
          new Map<number, IndexEntries>([
            [1000, packages.map((item, index) => [name ?? item.name, [[index + 1, 0]]])],
            [1128, packages.map((item, index) => [item.installTime ?? 1, [[index + 1, 0]]])],
          ]),
        ),
      },
    }),
  ],
  ...(available('db5.3_load')
    ? ([
        [
          'Berkeley DB',
          (packages: readonly HeaderFields[], name?: string): Files => ({
            '/var/lib/rpm/Packages': { content: writeBerkeley(packages.map(writeHeader)) },
            '/var/lib/rpm/Name': {
              content: writeBerkeleyIndex(
                packages.map((item, index) => [name ?? item.name, [[index + 1, 0]]]),
                'hash',
              ),
            },
            '/var/lib/rpm/Installtid': {
              content: writeBerkeleyIndex(
                packages.map((item, index) => [item.installTime ?? 1, [[index + 1, 0]]]),
                'btree',
              ),
            },
          }),
        ],
      ] as const)
    : []),
];

describe.each(formats)('compareImages() of indexes of %s', (_name, write) => {
  const one: HeaderFields = { name: 'one', version: '1', installTime: 5 };
  const two: HeaderFields = { name: 'two', version: '1', installTime: 6 };
  const original = write([one, two]);

  test('compareImages() finds the same in indexes of other times, numbers and versions that moved', async () => {
    const again = write([
      { ...two, installTime: 8 },
      { ...one, installTime: 9 },
    ]);
    expect(await explained(original, again)).toMatchObject({ grade: 'same-content', unexplained: [] });
    const moved = write([
      { ...two, installTime: 8 },
      { ...one, version: '2', installTime: 9 },
    ]);
    expect(await explained(original, moved)).toMatchObject({ grade: 'explained', unexplained: [] });
  });

  test('row 40: compareImages() names an index that finds something else', async () => {
    const { unexplained } = await explained(original, write([{ ...one, installTime: 7 }, two], 'evil'));
    expect(unexplained).toHaveLength(1);
    expect(unexplained[0]).toMatch(/^\/var\/lib\/rpm\/(Index\.db|Name)$/);
  });
});

describe.skipIf(!available('rpm', 'rpmbuild'))('compareImages() of roots that rpm installed', () => {
  const tool = (version: string): PackageSpec => ({
    ...{ name: 'tool', version },
    files: {
      '/usr/share/tool/data': `data ${version}`,
      '/usr/share/tool/link': '-> data',
      '/etc/tool.conf': 'a=1',
    },
  });
  const other: PackageSpec = { name: 'other', version: '1', files: { '/usr/share/other': 'other' } };
  const roots: RpmRoot[] = [];

  beforeAll(() => {
    const installed = [
      [tool('1'), other],
      [other, tool('1')],
      [tool('2'), other],
    ];
    for (const packages of installed) {
      const root = makeRpmRoot(roots[0]);
      roots.push(root);
      for (const item of packages) root.install(item);
    }
  }, 60_000);
  afterAll(() => {
    for (const root of roots) root.close();
  });

  const files = (index: number, more: Files = {}): Files => {
    const database = ['rpmdb.sqlite', 'rpmdb.sqlite-shm', 'rpmdb.sqlite-wal'].map(
      (name) => [`/var/lib/rpm/${name}`, { content: roots[index]!.read(name) }] as const,
    );
    const version = index === 2 ? '2' : '1';
    return {
      ...Object.fromEntries(database),
      '/usr/share/tool/data': `data ${version}`,
      '/usr/share/tool/link': { type: 'symlink', linkname: 'data' },
      ...{ '/etc/tool.conf': 'a=1', '/usr/share/other': 'other' },
      ...more,
    };
  };

  test('compareImages() grades roots of the same packages as the same content', async () => {
    const result = await explained(files(0), files(1));
    expect(result).toMatchObject({ grade: 'same-content', packages: [] });
    expect(result.causes).toContain(
      '/var/lib/rpm/rpmdb.sqlite: times of installation in the database of rpm',
    );
  });

  test('compareImages() explains a package that moved, and nothing of one that did not', async () => {
    expect(await explained(files(0), files(2))).toMatchObject({
      ...{ grade: 'explained', packages: ['rpm tool 1-1 2-1'], unexplained: [] },
    });
    expect(await explained(files(0), files(2, { '/usr/share/other': 'othes' }))).toMatchObject({
      ...{ grade: 'unexplained', unexplained: ['/usr/share/other'] },
    });
  });
});
