import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeSqlite } from './__fixtures__/make-sqlite.ts';
import { SqliteDatabase } from './sqlite.ts';

type Value = null | number | bigint | string | Uint8Array;

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
  // From within a page to several pages of their own.
  fc.uint8Array({ maxLength: 3000 }),
);

describe('SqliteDatabase', () => {
  test('SqliteDatabase reads the values SQLite wrote, whatever the pages and whichever ids', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(512, 1024, 4096, 65_536),
        fc.uniqueArray(fc.tuple(fc.maxSafeInteger(), value, value), {
          selector: ([id]) => id,
          maxLength: 40,
        }),
        (pageSize, rows) => {
          const { bytes } = makeSqlite((database) => {
            database.exec(
              `PRAGMA page_size = ${pageSize}; CREATE TABLE "a b" (id INTEGER PRIMARY KEY, x, y)`,
            );
            const insert = database.prepare('INSERT INTO "a b" VALUES (?, ?, ?)');
            for (const [id, x, y] of rows) insert.run(id, x, y);
          });
          const read = [...new SqliteDatabase(bytes).rows('a b')];
          const expected = rows.toSorted(([one], [other]) => one - other);
          expect(read.map(({ id, values }) => [id, values[0], ...values.slice(1).map(plain)])).toEqual(
            expected.map(([id, x, y]) => [id, null, ...[x, y].map(stored)]),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('SqliteDatabase reads tables of many pages, of which some were freed', () => {
    const { bytes } = makeSqlite((database) => {
      database.exec('PRAGMA page_size = 512; CREATE TABLE t (x)');
      database.exec(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT printf('%d-%s', i, hex(zeroblob(i % 300))) FROM n",
      );
      database.exec('DELETE FROM t WHERE rowid % 3 = 0');
    });
    const rows = [...new SqliteDatabase(bytes).rows('t')];
    expect(rows.map(({ id }) => id)).toEqual(
      Array.from({ length: 5000 }, (_, index) => index + 1).filter((id) => id % 3 !== 0),
    );
    expect(rows.every(({ id, values }) => values[0] === `${id}-${'00'.repeat(id % 300)}`)).toBe(true);
  });

  test('SqliteDatabase reads what only the write-ahead log has, up to its last commit', () => {
    const { bytes, log } = makeSqlite((database) => {
      database.exec(
        'PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA wal_checkpoint = TRUNCATE',
      );
      database.exec(
        'PRAGMA wal_autocheckpoint = 0; INSERT INTO t VALUES (2); INSERT INTO t VALUES (zeroblob(9000))',
      );
    });
    const values = (changes?: Buffer) =>
      [...new SqliteDatabase(bytes, changes).rows('t')].map(({ values: [x] }) =>
        Buffer.isBuffer(x) ? x.length : x,
      );
    expect(values()).toEqual([1]);
    expect(values(log)).toEqual([1, 2, 9000]);
    // The last frame lost, its transaction counts as never made.
    expect(values(log.subarray(0, -1))).toEqual([1, 2]);
    const salted = Buffer.from(log);
    salted[16] = salted[16]! ^ 1;
    expect(values(salted)).toEqual([1]);
  });

  test('SqliteDatabase refuses or reads any change, log included, and takes no more than its bytes', () => {
    const { bytes, log } = makeSqlite((database) => {
      database.exec('PRAGMA page_size = 512; PRAGMA journal_mode = WAL; CREATE TABLE t (x, y)');
      for (let index = 0; index < 120; index += 1) {
        database.prepare('INSERT INTO t VALUES (?, ?)').run(`row ${index}`, new Uint8Array(index * 5));
      }
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        (changes, ofLog) => {
          const [one, two] = [Buffer.from(bytes), Buffer.from(log)];
          const target = ofLog ? two : one;
          for (const [at, byte] of changes) target[at % target.length] = byte;
          try {
            const database = new SqliteDatabase(one, two);
            let read = 0;
            for (const table of database.tables.keys()) {
              for (const { values } of database.rows(table)) {
                read += values.reduce<number>(
                  (sum, x) => sum + (Buffer.isBuffer(x) || typeof x === 'string' ? x.length : 0),
                  0,
                );
              }
            }
            expect(read).toBeLessThanOrEqual((one.length + two.length) * Math.max(1, database.tables.size));
          } catch (error) {
            expect(error).toMatchObject({ code: 'PACKAGE_DATABASE_INVALID' });
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** How SQLite gives a value back: whole numbers as integers, bigints only where they must be. */
function stored(item: Value): unknown {
  if (typeof item === 'bigint') return Number.isSafeInteger(Number(item)) ? Number(item) : item;
  return plain(Object.is(item, -0) ? 0 : item);
}
