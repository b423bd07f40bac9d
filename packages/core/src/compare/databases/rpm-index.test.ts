import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { available } from '../../../../../test/services.ts';
import { type IndexEntries, writeBerkeleyIndex, writeNdbIndex } from './__fixtures__/write-databases.ts';
import { tellRpmIndex } from './rpm-index.ts';

const long = 'x'.repeat(400);
const entries: IndexEntries = [
  ['bash', [[1, 0]]],
  [
    'libc.so.6()(64bit)',
    [
      [1, 3],
      [2, 5],
    ],
  ],
  [long, [[2, 700]]],
  // More than a page of 512 bytes holds.
  ...Array.from({ length: 200 }, (_, index) => [`file${index}`, [[(index % 2) + 1, index]]] as const),
];
/** The same with the numbers of the packages exchanged, in another order. */
const exchanged: IndexEntries = entries
  .map(
    ([key, found]) =>
      [key, found.map(([number, position]) => [3 - number, position] as const).toReversed()] as const,
  )
  .toReversed();
const names = new Map([
  [1, 'bash'],
  [2, 'glibc'],
]);
const exchangedNames = new Map([
  [2, 'bash'],
  [1, 'glibc'],
]);

const writers: readonly (readonly [name: string, file: string, write: (list: IndexEntries) => Buffer])[] = [
  ...(available('db5.3_load')
    ? ([
        ['a hash of Berkeley DB', 'Name', (list: IndexEntries) => writeBerkeleyIndex(list, 'hash')],
        ['a tree of Berkeley DB', 'Name', (list: IndexEntries) => writeBerkeleyIndex(list, 'btree')],
      ] as const)
    : []),
  ['ndb', 'Index.db', (list) => writeNdbIndex(new Map([[1000, list.slice(0, 100)]]))],
];

describe.each(writers)('tellRpmIndex() of %s', (_name, file, write) => {
  const list = entries.slice(0, file === 'Index.db' ? 100 : undefined);
  const other = exchanged.slice(file === 'Index.db' ? -100 : 0);

  test('tellRpmIndex() finds every entry, whatever the numbers and the order', () => {
    const told = tellRpmIndex(file, write(list), names);
    for (const [key, found] of list) {
      for (const [number, position] of found) {
        const line = JSON.stringify(`${names.get(number)} ${position}`).slice(1, -1);
        expect(told).toContain(line);
        expect(told).toContain(String(key));
      }
    }
    expect(JSON.parse(told)).toHaveLength(list.length);
    expect(tellRpmIndex(file, write(other), exchangedNames)).toBe(told);
  });

  test('tellRpmIndex() sees another key, place or package, but not of one that does not count', () => {
    const told = tellRpmIndex(file, write(list), names);
    const rest = list.slice(1);
    expect(tellRpmIndex(file, write([['evil', [[1, 0]]], ...rest]), names)).not.toBe(told);
    expect(tellRpmIndex(file, write([['bash', [[1, 1]]], ...rest]), names)).not.toBe(told);
    expect(tellRpmIndex(file, write([['bash', [[2, 0]]], ...rest]), names)).not.toBe(told);
    const without = new Map([
      [1, undefined],
      [2, 'glibc'],
    ]);
    expect(tellRpmIndex(file, write([['evil', [[1, 9]]], ...rest]), without)).toBe(
      tellRpmIndex(file, write(list), without),
    );
    expect(() => tellRpmIndex(file, write([['bash', [[7, 0]]]]), names)).toThrow('package 7');
  });

  test('tellRpmIndex() of a changed index never crashes', () => {
    const good = write(list);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 10 }),
        fc.nat(),
        (changes, cut) => {
          const bytes = Buffer.from(cut % 4 === 0 ? good.subarray(0, cut % good.length) : good);
          for (const [index, [at, byte]] of changes.entries()) {
            if (bytes.length > 0)
              bytes[at % (index % 2 === 0 ? bytes.length : Math.min(bytes.length, 200))] = byte;
          }
          try {
            expect(typeof tellRpmIndex(file, bytes, names)).toBe('string');
          } catch (error) {
            expect(error).toMatchObject({ code: 'PACKAGE_DATABASE_INVALID' });
          }
        },
      ),
      { numRuns: 800 },
    );
  });
});

describe('tellRpmIndex()', () => {
  test('tellRpmIndex() does not tell the times by which packages were installed', () => {
    const at = (time: number) =>
      writeNdbIndex(
        new Map([
          [
            1128,
            [
              [
                time,
                [
                  [1, 0],
                  [2, 0],
                ],
              ],
            ],
          ],
        ]),
      );
    expect(tellRpmIndex('Index.db', at(5), names)).toBe(tellRpmIndex('Index.db', at(9), names));
    const apart = writeNdbIndex(
      new Map([
        [
          1128,
          [
            [5, [[1, 0]]],
            [6, [[2, 0]]],
          ],
        ],
      ]),
    );
    expect(tellRpmIndex('Index.db', apart, names)).not.toBe(tellRpmIndex('Index.db', at(5), names));
  });
});
