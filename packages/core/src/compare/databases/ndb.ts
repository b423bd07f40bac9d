import type { DatabaseEntry } from './berkeley.ts';
import { ByteBudget, checkDatabaseSize, invalidDatabase } from './database-error.ts';

const MAGIC = magic('RpmP');
const SLOT_MAGIC = magic('Slot');
const BLOB_MAGIC = magic('BlbS');
const END_MAGIC = magic('BlbE');
const VERSION = 0;
const PAGE_BYTES = 4096;
/** Slots and blocks have the same size; the first two slots are the header. */
const BLOCK_BYTES = 16;
const HEAD_BYTES = 16;
const TAIL_BYTES = 12;

/** Whether bytes begin as a `Packages.db` of rpm's own format does. */
export function isNdb(bytes: Buffer): boolean {
  return bytes.length >= 32 && bytes.readUInt32LE(0) === MAGIC;
}

/**
 * Reads the headers of rpm's own format of a database, `Packages.db`, by package number. Like rpm, it does not look at the checksum of a
 * header, and refuses slots that leave the file or overlap.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE`
 * @see rpm, lib/backend/ndb/rpmpkg.c
 */
export function* readNdb(bytes: Buffer): Generator<DatabaseEntry> {
  checkDatabaseSize(bytes.length);
  if (!isNdb(bytes)) throw invalidDatabase('no ndb database');
  if (bytes.readUInt32LE(4) !== VERSION) throw invalidDatabase(`ndb version ${bytes.readUInt32LE(4)}`);
  const slots = bytes.readUInt32LE(12) * PAGE_BYTES;
  if (slots > bytes.length) throw invalidDatabase('slots that are not there');
  const budget = new ByteBudget(bytes.length);
  const seen = new Set<number>();
  for (let at = 2 * BLOCK_BYTES; at < slots; at += BLOCK_BYTES) {
    if (bytes.readUInt32LE(at) !== SLOT_MAGIC) throw invalidDatabase(`no slot at ${at}`);
    const start = bytes.readUInt32LE(at + 8) * BLOCK_BYTES;
    if (start === 0) continue;
    const id = bytes.readUInt32LE(at + 4);
    const size = bytes.readUInt32LE(at + 12) * BLOCK_BYTES;
    if (id === 0 || start < slots || start + size > bytes.length)
      throw invalidDatabase(`slot of package ${id}`);
    if (seen.has(id)) throw invalidDatabase(`two slots of package ${id}`);
    seen.add(id);
    budget.take(size);
    yield { key: id, value: readBlob(bytes.subarray(start, start + size), id) };
  }
}

function readBlob(block: Buffer, id: number): Buffer {
  const fail = () => invalidDatabase(`header of package ${id}`);
  if (block.length < HEAD_BYTES + TAIL_BYTES) throw fail();
  const length = block.readUInt32LE(12);
  const blocks = Math.ceil((HEAD_BYTES + length + TAIL_BYTES) / BLOCK_BYTES);
  const isWhole =
    block.readUInt32LE(0) === BLOB_MAGIC &&
    block.readUInt32LE(4) === id &&
    block.length === blocks * BLOCK_BYTES &&
    block.readUInt32LE(block.length - 8) === length &&
    block.readUInt32LE(block.length - 4) === END_MAGIC;
  if (!isWhole) throw fail();
  return block.subarray(HEAD_BYTES, HEAD_BYTES + length);
}

function magic(text: string): number {
  return Buffer.from(text, 'latin1').readUInt32LE(0);
}
