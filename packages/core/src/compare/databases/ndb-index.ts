import { ByteBudget, checkDatabaseSize, invalidDatabase } from './database-error.ts';
import type { IndexRecord } from './index-record.ts';

const MAGIC = Buffer.from('RpmX', 'latin1').readUInt32LE(0);
const INDEX_MAGIC = Buffer.from('RpmI', 'latin1').readUInt32LE(0);
const SLOT_MAGIC = Buffer.from('Slo\0', 'latin1').readUInt32LE(0);
const SLOT_BYTES = 16;
const HEADER_BYTES = 32;
/** Where the slots of one index begin in it. */
const FIRST_SLOT = 64;
const DELETED = 0xffffffff;

/**
 * Reads the indexes of rpm's own format of a database, `Index.db`: one for each tag, which goes before each key.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE`
 * @see rpm, lib/backend/ndb/rpmxdb.c and rpmidx.c
 */
export function* readNdbIndex(bytes: Buffer): Generator<IndexRecord> {
  checkDatabaseSize(bytes.length);
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(4) !== 0) {
    throw invalidDatabase('no index of ndb');
  }
  const [pages, pageSize] = [bytes.readUInt32LE(12), bytes.readUInt32LE(16)];
  const isPageSize = (pageSize & (pageSize - 1)) === 0 && pageSize >= 256 && pageSize <= 65_536;
  if (!isPageSize || pages * pageSize > bytes.length)
    throw invalidDatabase('an index of ndb without its slots');
  const budget = new ByteBudget(bytes.length);
  for (let at = HEADER_BYTES; at < pages * pageSize; at += SLOT_BYTES) {
    const slot = bytes.readUInt32LE(at);
    if ((slot & 0xffffff) !== SLOT_MAGIC) throw invalidDatabase(`no slot at ${at}`);
    const [start, count] = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)];
    if (start === 0 || count === 0) continue;
    const end = (start + count) * pageSize;
    if (start < pages || end > bytes.length) throw invalidDatabase('an index that leaves its file');
    budget.take(count * pageSize);
    // Another number: an index that was being made again.
    if (slot >>> 24 === 0)
      yield* readIndex(bytes.subarray(start * pageSize, end), bytes.readUInt32LE(at + 4));
  }
}

function* readIndex(bytes: Buffer, tag: number): Generator<IndexRecord> {
  if (bytes.readUInt32LE(0) !== INDEX_MAGIC || bytes.readUInt32LE(4) !== 0) throw invalidDatabase('no index');
  const [count, mask] = [bytes.readUInt32LE(12), bytes.readUInt32LE(24)];
  const keys = FIRST_SLOT + count * 12;
  if (keys > bytes.length) throw invalidDatabase('more slots than an index holds');
  // Many slots have the same key.
  const known = new Map<number, string>();
  const budget = new ByteBudget(bytes.length);
  for (let index = 0; index < count; index += 1) {
    const at = FIRST_SLOT + index * 8;
    const place = bytes.readUInt32LE(at);
    if (place === 0 || place === DELETED) continue;
    const offset = (place & ~mask) >>> 0;
    const key = known.get(offset) ?? readKey(bytes.subarray(keys), offset, budget);
    known.set(offset, key);
    const data = bytes.readUInt32LE(at + 4);
    yield { key: `${tag} ${key}`, ...decode(data, bytes.readUInt32LE(FIRST_SLOT + count * 8 + index * 4)) };
  }
}

/** A length of one, two or four bytes, and that many. */
function readKey(keys: Buffer, offset: number, budget: ByteBudget): string {
  const byte = (index: number): number => keys[offset + index] ?? Number.NaN;
  const isLong = byte(1) === 255 && byte(2) === 255;
  const head = byte(0) !== 255 ? 1 : isLong ? 7 : 3;
  if (offset + head > keys.length) throw invalidDatabase('a key leaves its index');
  const start = offset + head;
  const size =
    head === 1 ? byte(0) : head === 3 ? keys.readUInt16LE(offset + 1) : keys.readUInt32LE(offset + 3);
  if (start + size > keys.length) throw invalidDatabase('a key leaves its index');
  return keys.toString('latin1', start, start + budget.take(size));
}

/** A package's number and a place of its list share a word; when they do not fit the number has one of its own. */
function decode(data: number, other: number): Pick<IndexRecord, 'number' | 'position'> {
  if (data >= 0x80000000) return { number: other, position: data - 0x80000000 };
  if (data >= 0x40000000) return { number: data & 0xffffff, position: (data - 0x40000000) >>> 24 };
  return { number: data & 0xfffff, position: data >>> 20 };
}
