/** What a write-ahead log changes: pages by number, and how many the database then has. */
export interface SqliteLog {
  readonly changed: ReadonlyMap<number, Buffer>;
  /** Absent when the log commits nothing. */
  readonly count?: number;
}

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const LITTLE_ENDIAN_MAGIC = 0x377f0682;
const BIG_ENDIAN_MAGIC = 0x377f0683;
const VERSION = 3_007_000;

/**
 * Reads a write-ahead log up to its last commit, as SQLite does on opening: what follows a frame of another salt or checksum is left
 * of an earlier log, and a log with a broken header is none.
 *
 * @see https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
export function readLog(log: Buffer | undefined, pageSize: number): SqliteLog {
  const nothing: SqliteLog = { changed: new Map() };
  if (log === undefined || log.length < HEADER_BYTES) return nothing;
  const magic = log.readUInt32BE(0);
  if (magic !== LITTLE_ENDIAN_MAGIC && magic !== BIG_ENDIAN_MAGIC) return nothing;
  if (log.readUInt32BE(4) !== VERSION || log.readUInt32BE(8) !== pageSize) return nothing;
  const sum = new Checksum(magic === BIG_ENDIAN_MAGIC);
  sum.update(log, 0, 24);
  if (!sum.equals(log, 24)) return nothing;

  const [committed, pending] = [new Map<number, Buffer>(), new Map<number, Buffer>()];
  let count: number | undefined;
  const frame = FRAME_HEADER_BYTES + pageSize;
  for (let at = HEADER_BYTES; at + frame <= log.length; at += frame) {
    const number = log.readUInt32BE(at);
    if (number === 0 || log.compare(log, 16, 24, at + 8, at + 16) !== 0) break;
    sum.update(log, at, at + 8);
    sum.update(log, at + FRAME_HEADER_BYTES, at + frame);
    if (!sum.equals(log, at + 16)) break;
    pending.set(number, log.subarray(at + FRAME_HEADER_BYTES, at + frame));
    const size = log.readUInt32BE(at + 4);
    if (size === 0) continue;
    for (const [page, bytes] of pending) committed.set(page, bytes);
    pending.clear();
    count = size;
  }
  return count === undefined ? nothing : { changed: committed, count };
}

/** The running checksum over words of four bytes, in pairs. */
class Checksum {
  readonly #isBigEndian: boolean;
  #one = 0;
  #two = 0;

  constructor(isBigEndian: boolean) {
    this.#isBigEndian = isBigEndian;
  }

  update(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 8) {
      const first = this.#isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
      const second = this.#isBigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
      this.#one = (this.#one + first + this.#two) >>> 0;
      this.#two = (this.#two + second + this.#one) >>> 0;
    }
  }

  equals(bytes: Buffer, at: number): boolean {
    return bytes.readUInt32BE(at) === this.#one && bytes.readUInt32BE(at + 4) === this.#two;
  }
}
