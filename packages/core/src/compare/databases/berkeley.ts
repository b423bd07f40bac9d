import { ByteBudget, checkDatabaseSize, invalidDatabase } from './database-error.ts';

/** A header of a package by its number in the database. */
export interface DatabaseEntry {
  readonly key: number;
  readonly value: Buffer;
}

const HASH_MAGIC = 0x00061561;
const META_BYTES = 512;
const [MIN_VERSION, MAX_VERSION] = [8, 10];
const PAGE_HEADER_BYTES = 26;
/** Kinds of pages: hash before and since 4.6, overflow, first page of an empty hash. */
const [UNSORTED, SORTED, OVERFLOW, META] = [2, 13, 7, 8] as const;
/** Kinds of items: in the page, and in overflow pages. */
const [IN_PAGE, OFF_PAGE] = [1, 3] as const;
const OFF_PAGE_BYTES = 12;

/** Whether bytes begin as a hash of Berkeley DB does, of either byte order. */
export function isBerkeley(bytes: Buffer): boolean {
  if (bytes.length < META_BYTES) return false;
  return bytes.readUInt32LE(12) === HASH_MAGIC || bytes.readUInt32BE(12) === HASH_MAGIC;
}

/**
 * Reads the headers of a hash of Berkeley DB, `Packages`, bucket by bucket as rpm does. Key 0 is the number of the next package and no
 * header.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE`
 * @see rpm, lib/backend/bdb_ro.cc; Berkeley DB, src/dbinc/db_page.h
 */
export function* readBerkeley(bytes: Buffer): Generator<DatabaseEntry> {
  const hash = new BerkeleyHash(bytes);
  for (const [key, value] of hash.records()) {
    if (key.length !== 4) throw invalidDatabase(`a key of ${key.length} bytes`);
    const number = hash.uint32(key, 0);
    if (number !== 0) yield { key: number, value };
  }
}

/** A hash of Berkeley DB in memory. Every page is read once at most, and all records are not larger than the file. */
class BerkeleyHash {
  readonly #bytes: Buffer;
  readonly #isBigEndian: boolean;
  readonly #pageSize: number;
  readonly #seen: Set<number> = new Set();
  readonly #budget: ByteBudget;

  constructor(bytes: Buffer) {
    checkDatabaseSize(bytes.length);
    if (!isBerkeley(bytes)) throw invalidDatabase('no hash of Berkeley DB');
    this.#bytes = bytes;
    this.#isBigEndian = bytes.readUInt32BE(12) === HASH_MAGIC;
    this.#budget = new ByteBudget(bytes.length);
    const version = this.uint32(bytes, 16);
    if (version < MIN_VERSION || version > MAX_VERSION) throw invalidDatabase(`hash version ${version}`);
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

  *records(): Generator<[key: Buffer, value: Buffer]> {
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
    const count = this.#uint16(page, 20);
    if (PAGE_HEADER_BYTES + count * 2 > page.length) throw invalidDatabase('more items than a page holds');
    const offset = (index: number) => this.#uint16(page, PAGE_HEADER_BYTES + index * 2);
    // Items are laid down from the end of the page.
    const item = (index: number) =>
      this.#item(page.subarray(offset(index), index === 0 ? page.length : offset(index - 1)));
    for (let index = 0; index + 1 < count; index += 2) yield [item(index), item(index + 1)];
  }

  #item(bytes: Buffer): Buffer {
    const [kind] = bytes;
    if (kind === IN_PAGE) {
      this.#budget.take(bytes.length);
      return bytes.subarray(1);
    }
    if (kind !== OFF_PAGE || bytes.length !== OFF_PAGE_BYTES)
      throw invalidDatabase(`an item of kind ${kind}`);
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
