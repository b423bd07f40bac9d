import { ByteBudget, checkDatabaseSize, invalidDatabase } from './database-error.ts';
import { SqlitePages } from './sqlite-pages.ts';
import { decodeRecord, readVarint, type SqliteValue } from './sqlite-record.ts';

/** One row of a table. */
export interface SqliteRow {
  /** Also the value of a column that is `INTEGER PRIMARY KEY`, which is null in `values`. */
  readonly id: number;
  readonly values: readonly SqliteValue[];
}

const INTERIOR = 0x05;
const LEAF = 0x0d;
const FILE_HEADER_BYTES = 100;

/**
 * Reads tables of an SQLite database from its bytes. Nothing an offset or a length says is believed: every page belongs to one place, and
 * all rows together are not larger than the file.
 *
 * @see https://www.sqlite.org/fileformat2.html
 */
export class SqliteDatabase {
  /** Root page and definition of each table, by name. */
  readonly tables: ReadonlyMap<string, { readonly root: number; readonly sql: string }>;
  readonly #pages: SqlitePages;
  readonly #bytes: number;

  /**
   * @param log - the write-ahead log beside it, `<name>-wal`
   * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE`
   */
  constructor(bytes: Buffer, log?: Buffer) {
    this.#bytes = bytes.length + (log?.length ?? 0);
    checkDatabaseSize(this.#bytes);
    this.#pages = new SqlitePages(bytes, log);
    const tables = new Map<string, { readonly root: number; readonly sql: string }>();
    for (const { values } of this.#rows(1)) {
      const [type, name, , root, sql] = values;
      if (type !== 'table' || typeof name !== 'string' || typeof root !== 'number') continue;
      tables.set(name, { root, sql: typeof sql === 'string' ? sql : '' });
    }
    this.tables = tables;
  }

  /** The rows of a table in the order of their ids. */
  rows(table: string): Generator<SqliteRow> {
    const known = this.tables.get(table);
    if (known === undefined) throw invalidDatabase(`no table ${table}`);
    return this.#rows(known.root);
  }

  *#rows(root: number): Generator<SqliteRow> {
    const seen = new Set<number>();
    const budget = new ByteBudget(this.#bytes);
    const open = (number: number): Buffer => {
      if (seen.has(number)) throw invalidDatabase(`page ${number} is in two places`);
      seen.add(number);
      return this.#pages.page(number);
    };
    const pending = [root];
    for (let number = pending.pop(); number !== undefined; number = pending.pop()) {
      const page = open(number);
      const start = number === 1 ? FILE_HEADER_BYTES : 0;
      const type = page[start]!;
      if (type !== LEAF && type !== INTERIOR) throw invalidDatabase(`page ${number} is none of a table`);
      const cells = cellsOf(page, start);
      if (type === INTERIOR) {
        const children = cells.map((at) => uint32(page, at));
        pending.push(uint32(page, start + 8), ...children.reverse());
        if (pending.length > this.#pages.count)
          throw invalidDatabase('a table with more pages than there are');
      } else for (const at of cells) yield this.#row(page, at, open, budget);
    }
  }

  #row(page: Buffer, at: number, open: (number: number) => Buffer, budget: ByteBudget): SqliteRow {
    const [size, afterSize] = readVarint(page, at);
    const [id, start] = readVarint(page, afterSize);
    budget.take(size);
    const { usable } = this.#pages;
    const local = localBytes(size, usable);
    if (start + local > usable) throw invalidDatabase('a row leaves its page');
    const parts = [page.subarray(start, start + local)];
    let left = size - local;
    let next = left > 0 ? uint32(page, start + local) : 0;
    while (left > 0) {
      const overflow = open(next);
      const part = overflow.subarray(4, 4 + Math.min(left, usable - 4));
      parts.push(part);
      left -= part.length;
      next = overflow.readUInt32BE(0);
    }
    return { id, values: decodeRecord(parts.length === 1 ? parts[0]! : Buffer.concat(parts)) };
  }
}

/** Where the cells of a page begin. */
function cellsOf(page: Buffer, start: number): number[] {
  const count = page.readUInt16BE(start + 3);
  const first = start + (page[start] === INTERIOR ? 12 : 8);
  if (first + count * 2 > page.length) throw invalidDatabase('more cells than a page holds');
  return Array.from({ length: count }, (_, index) => page.readUInt16BE(first + index * 2));
}

/** How many bytes of a row are in its page; the others are in pages of their own. */
function localBytes(size: number, usable: number): number {
  if (size <= usable - 35) return size;
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const most = least + ((size - least) % (usable - 4));
  return most <= usable - 35 ? most : least;
}

function uint32(page: Buffer, at: number): number {
  if (at + 4 > page.length) throw invalidDatabase('a cell leaves its page');
  return page.readUInt32BE(at);
}
