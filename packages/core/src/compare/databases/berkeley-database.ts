import { ByteBudget, checkDatabaseSize, invalidDatabase } from './database-error.ts';

const HASH_MAGIC = 0x00061561;
const BTREE_MAGIC = 0x00053162;
const META_BYTES = 512;
const [MIN_VERSION, MAX_VERSION] = [8, 10];
const PAGE_HEADER_BYTES = 26;
/** Kinds of pages: hash before and since 4.6, first page of an empty hash, overflow, inner and outer page of a tree. */
const [UNSORTED, SORTED, META, OVERFLOW, INNER, LEAF] = [2, 13, 8, 7, 3, 5] as const;
/** Kinds of items: in the page, and in overflow pages; of a tree also with a bit for deleted ones. */
const [IN_PAGE, OFF_PAGE, DELETED] = [1, 3, 0x80] as const;
const OFF_PAGE_BYTES = 12;

/** Whether bytes begin as a hash of Berkeley DB does, of either byte order. */
export function isBerkeley(bytes: Buffer): boolean {
  return orderOf(bytes, HASH_MAGIC) !== undefined;
}

function orderOf(bytes: Buffer, magic: number): 'big' | 'little' | undefined {
  if (bytes.length < META_BYTES) return undefined;
  if (bytes.readUInt32BE(12) === magic) return 'big';
  return bytes.readUInt32LE(12) === magic ? 'little' : undefined;
}

/**
 * A hash or a tree of Berkeley DB in memory, read as rpm reads it. Every page is read once at most, and all records are not larger than
 * the file.
 *
 * @see rpm, lib/backend/bdb_ro.cc; Berkeley DB, src/dbinc/db_page.h
 */
export class BerkeleyDatabase {
  readonly #bytes: Buffer;
  readonly #isBigEndian: boolean;
  readonly #isTree: boolean;
  readonly #pageSize: number;
  readonly #seen: Set<number> = new Set();
  readonly #budget: ByteBudget;

  /** @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE` */
  constructor(bytes: Buffer) {
    checkDatabaseSize(bytes.length);
    const tree = orderOf(bytes, BTREE_MAGIC);
    const order = tree ?? orderOf(bytes, HASH_MAGIC);
    if (order === undefined) throw invalidDatabase('no hash and no tree of Berkeley DB');
    this.#bytes = bytes;
    this.#isBigEndian = order === 'big';
    this.#isTree = tree !== undefined;
    this.#budget = new ByteBudget(bytes.length);
    const version = this.uint32(bytes, 16);
    if (version < MIN_VERSION || version > MAX_VERSION) throw invalidDatabase(`version ${version}`);
    this.#pageSize = this.uint32(bytes, 20);
    const isPageSize = (this.#pageSize & (this.#pageSize - 1)) === 0;
    if (!isPageSize || this.#pageSize < 512 || this.#pageSize > 65_536) {
      throw invalidDatabase(`pages of ${this.#pageSize} bytes`);
    }
    if (bytes[24] !== 0 || (bytes[26]! & 1) !== 0) throw invalidDatabase('encrypted or checksummed pages');
  }

  uint32(bytes: Buffer, at: number): number {
    return this.#isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
  }

  /** All records, once. */
  records(): Generator<[key: Buffer, value: Buffer]> {
    return this.#isTree ? this.#ofTree() : this.#ofHash();
  }

  *#ofTree(): Generator<[key: Buffer, value: Buffer]> {
    let page = this.#page(this.uint32(this.#bytes, 88), [INNER, LEAF]);
    // The first item of each inner page leads to the first outer page, and those are a chain.
    while (page[25] === INNER) {
      const first = this.#uint16(page, PAGE_HEADER_BYTES);
      if (this.#uint16(page, 20) === 0 || first + 8 > page.length)
        throw invalidDatabase('an inner page without items');
      page = this.#page(this.uint32(page, first + 4), [INNER, LEAF]);
    }
    for (;;) {
      const items = this.#offsets(page);
      for (let index = 0; index + 1 < items.length; index += 2) {
        const [key, value] = [items[index]!, items[index + 1]!];
        if (((page[key + 2] ?? 0) | (page[value + 2] ?? 0)) & DELETED) continue;
        yield [this.#treeItem(page, key), this.#treeItem(page, value)];
      }
      const next = this.uint32(page, 16);
      if (next === 0) return;
      page = this.#page(next, [LEAF]);
    }
  }

  *#ofHash(): Generator<[key: Buffer, value: Buffer]> {
    const buckets = this.uint32(this.#bytes, 72);
    for (let bucket = 0; bucket <= buckets; bucket += 1) {
      // Where the pages of a bucket begin depends on how often the hash had doubled when it was made.
      const doubled = 32 - Math.clz32(bucket);
      let number = bucket + this.uint32(this.#bytes, 96 + 4 * Math.min(doubled, 31));
      while (number !== 0) {
        const page = this.#page(number, [UNSORTED, SORTED, META]);
        yield* this.#recordsOf(page);
        number = this.uint32(page, 16);
      }
    }
  }

  *#recordsOf(page: Buffer): Generator<[key: Buffer, value: Buffer]> {
    const items = this.#offsets(page);
    // Items are laid down from the end of the page.
    const item = (index: number) =>
      this.#hashItem(page.subarray(items[index]!, index === 0 ? page.length : items[index - 1]!));
    for (let index = 0; index + 1 < items.length; index += 2) yield [item(index), item(index + 1)];
  }

  #offsets(page: Buffer): readonly number[] {
    const count = this.#uint16(page, 20);
    if (PAGE_HEADER_BYTES + count * 2 > page.length) throw invalidDatabase('more items than a page holds');
    return Array.from({ length: count }, (_, index) => this.#uint16(page, PAGE_HEADER_BYTES + index * 2));
  }

  #treeItem(page: Buffer, at: number): Buffer {
    if (at + 3 > page.length) throw invalidDatabase('an item leaves its page');
    if (page[at + 2] !== IN_PAGE) {
      if (page[at + 2] !== OFF_PAGE) throw invalidDatabase(`an item of kind ${page[at + 2]}`);
      return this.#offPage(page.subarray(at, at + OFF_PAGE_BYTES));
    }
    const end = at + 3 + this.#budget.take(this.#uint16(page, at));
    if (end > page.length) throw invalidDatabase('an item leaves its page');
    return page.subarray(at + 3, end);
  }

  #hashItem(bytes: Buffer): Buffer {
    const [kind] = bytes;
    if (kind === IN_PAGE) {
      this.#budget.take(bytes.length);
      return bytes.subarray(1);
    }
    if (kind !== OFF_PAGE) throw invalidDatabase(`an item of kind ${kind}`);
    return this.#offPage(bytes);
  }

  #offPage(bytes: Buffer): Buffer {
    if (bytes.length !== OFF_PAGE_BYTES) throw invalidDatabase('an item leaves its page');
    const size = this.#budget.take(this.uint32(bytes, 8));
    const parts: Buffer[] = [];
    let left = size;
    for (let number = this.uint32(bytes, 4); left > 0; ) {
      const page = this.#page(number, [OVERFLOW]);
      const end = PAGE_HEADER_BYTES + this.#uint16(page, 22);
      const part = page.subarray(PAGE_HEADER_BYTES, end);
      if (end > page.length || part.length > left) throw invalidDatabase('an overflow page with too much');
      parts.push(part);
      left -= part.length;
      number = this.uint32(page, 16);
    }
    return Buffer.concat(parts, size);
  }

  #page(number: number, kinds: readonly number[]): Buffer {
    const start = number * this.#pageSize;
    const page = this.#bytes.subarray(start, start + this.#pageSize);
    if (number === 0 || page.length < this.#pageSize) throw invalidDatabase(`page ${number} is not there`);
    if (this.#seen.has(number)) throw invalidDatabase(`page ${number} is in two places`);
    this.#seen.add(number);
    const kind = page[25]!;
    if (!kinds.includes(kind)) throw invalidDatabase(`page ${number} is of kind ${kind}`);
    if (this.uint32(page, 8) !== number) throw invalidDatabase(`page ${number} has another number`);
    return page;
  }

  #uint16(bytes: Buffer, at: number): number {
    return this.#isBigEndian ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
  }
}
