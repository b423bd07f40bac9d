import { invalidDatabase } from './database-error.ts';
import { readLog } from './sqlite-log.ts';

const MAGIC = 'SQLite format 3\0';
const HEADER_BYTES = 100;
const UTF8 = 1;

/** The pages of an SQLite database, those its write-ahead log changed in their newest form. */
export class SqlitePages {
  /** Bytes of a page that hold content. */
  readonly usable: number;
  readonly count: number;
  readonly #bytes: Buffer;
  readonly #size: number;
  readonly #changed: ReadonlyMap<number, Buffer>;

  /** @throws {@link CoreError} `PACKAGE_DATABASE_INVALID` */
  constructor(bytes: Buffer, log?: Buffer) {
    if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 16) !== MAGIC) {
      throw invalidDatabase('no SQLite database');
    }
    const size = bytes.readUInt16BE(16) === 1 ? 65_536 : bytes.readUInt16BE(16);
    if (size < 512 || (size & (size - 1)) !== 0) throw invalidDatabase(`pages of ${size} bytes`);
    const { changed, count } = readLog(log, size);
    this.#bytes = bytes;
    this.#size = size;
    this.#changed = changed;
    this.count = count ?? Math.floor(bytes.length / size);
    const first = this.page(1);
    this.usable = size - first[20]!;
    if (this.usable < 480) throw invalidDatabase(`${first[20]} reserved bytes in each page`);
    const encoding = first.readUInt32BE(56);
    // 0: nothing was ever written.
    if (encoding > UTF8) throw invalidDatabase('text that is not UTF-8');
  }

  /** A page by its number, from 1. */
  page(number: number): Buffer {
    const changed = this.#changed.get(number);
    if (changed !== undefined) return changed;
    const start = (number - 1) * this.#size;
    const end = start + this.#size;
    if (number < 1 || number > this.count || end > this.#bytes.length) {
      throw invalidDatabase(`page ${number} is not there`);
    }
    return this.#bytes.subarray(start, end);
  }
}
