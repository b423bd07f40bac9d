import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PAGE_BYTES = 4096;

/** Writes a `Packages.db` of rpm's own format, as rpm's lib/backend/ndb/rpmpkg.c lays it out; numbers count from 1. */
export function writeNdb(headers: readonly Buffer[], generation = 1): Buffer {
  const pages = Math.ceil((headers.length + 2) / (PAGE_BYTES / 16));
  const slots = Buffer.alloc(pages * PAGE_BYTES);
  for (let at = 0; at < slots.length; at += 16) slots.write('Slot', at, 'latin1');
  slots.fill(0, 0, 32);
  slots.write('RpmP', 0, 'latin1');
  slots.writeUInt32LE(generation, 8);
  slots.writeUInt32LE(pages, 12);
  slots.writeUInt32LE(headers.length + 1, 16);
  const blobs: Buffer[] = [];
  let block = slots.length / 16;
  for (const [index, header] of headers.entries()) {
    const blob = Buffer.alloc(Math.ceil((header.length + 28) / 16) * 16);
    blob.write('BlbS', 0, 'latin1');
    blob.writeUInt32LE(index + 1, 4);
    blob.writeUInt32LE(generation, 8);
    blob.writeUInt32LE(header.length, 12);
    header.copy(blob, 16);
    blob.writeUInt32LE(adler32(blob.subarray(0, -12)), blob.length - 12);
    blob.writeUInt32LE(header.length, blob.length - 8);
    blob.write('BlbE', blob.length - 4, 'latin1');
    const slot = (index + 2) * 16;
    slots.writeUInt32LE(index + 1, slot + 4);
    slots.writeUInt32LE(block, slot + 8);
    slots.writeUInt32LE(blob.length / 16, slot + 12);
    block += blob.length / 16;
    blobs.push(blob);
  }
  return Buffer.concat([slots, ...blobs]);
}

/** Writes a hash by Berkeley DB's own `db5.3_load`, as rpm used it: key 0 has the number of the last package. */
export function writeBerkeley(
  headers: readonly Buffer[],
  options: { readonly bigEndian?: boolean; readonly pageBytes?: number } = {},
): Buffer {
  const { bigEndian = false, pageBytes = 4096 } = options;
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (bigEndian) bytes.writeUInt32BE(value);
    else bytes.writeUInt32LE(value);
    return bytes;
  };
  return writeHash(
    [
      [number(0), number(headers.length)],
      ...headers.map((header, index) => [number(index + 1), header] as const),
    ],
    [`db_lorder=${bigEndian ? 4321 : 1234}`, `db_pagesize=${pageBytes}`],
  );
}

/** An index: for each key, numbers of packages and places in their lists. */
export type IndexEntries = readonly (readonly [key: string | number, found: readonly (readonly [number, number])[]])[];

/** Writes an index by `db5.3_load`, a hash or a tree as rpm has them. */
export function writeBerkeleyIndex(entries: IndexEntries, type: 'hash' | 'btree'): Buffer {
  const words = (...values: readonly number[]) => Buffer.from(Uint32Array.from(values).buffer);
  const records = entries.map(
    ([key, found]) =>
      [typeof key === 'string' ? Buffer.from(key) : words(key), words(...found.flat())] as const,
  );
  return writeHash(records, ['db_lorder=1234', 'db_pagesize=512'], type);
}

/** Writes an `Index.db` of rpm's own format as rpm's rpmxdb.c and rpmidx.c lay it out, without its order by hashes. */
export function writeNdbIndex(indexes: ReadonlyMap<number, IndexEntries>): Buffer {
  const head = Buffer.alloc(PAGE_BYTES);
  for (let at = 0; at < head.length; at += 16) head.write('Slo\0', at, 'latin1');
  head.fill(0, 0, 32);
  head.write('RpmX', 0, 'latin1');
  head.writeUInt32LE(1, 12);
  head.writeUInt32LE(PAGE_BYTES, 16);
  const blobs: Buffer[] = [];
  for (const [place, [tag, entries]] of [...indexes].entries()) {
    const slots = 256;
    const index = Buffer.alloc(4 * PAGE_BYTES);
    index.write('RpmI', 0, 'latin1');
    index.writeUInt32LE(slots, 12);
    index.writeUInt32LE(0xffff0000, 24);
    let [key, slot] = [1, 7];
    for (const [text, found] of entries) {
      const bytes = typeof text === 'string' ? Buffer.from(text) : Buffer.from(Uint32Array.of(text).buffer);
      for (const [number, position] of found) {
        // The upper bits of a key's place are of its hash.
        index.writeUInt32LE((0xabcd0000 | key) >>> 0, 64 + slot * 8);
        index.writeUInt32LE(number | (position << 20), 64 + slot * 8 + 4);
        slot += 1;
      }
      const at = 64 + slots * 12 + key;
      const long = bytes.length > 254;
      if (long) index.writeUInt16LE(bytes.length, at + 1);
      index[at] = long ? 255 : bytes.length;
      bytes.copy(index, at + (long ? 3 : 1));
      key += bytes.length + (long ? 3 : 1);
    }
    // A deleted one, as an erased package leaves it.
    index.fill(0xff, 64, 72);
    head.writeUInt32LE(tag, 32 + place * 16 + 4);
    head.writeUInt32LE(1 + place * 4, 32 + place * 16 + 8);
    head.writeUInt32LE(4, 32 + place * 16 + 12);
    blobs.push(index);
  }
  return Buffer.concat([head, ...blobs]);
}

function writeHash(records: readonly (readonly [key: Buffer, value: Buffer])[], options: readonly string[], type = 'hash'): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-berkeley-'));
  const lines = records.flatMap(([key, value]) => [` ${key.toString('hex')}`, ` ${value.toString('hex')}`]);
  const dump = ['VERSION=3', 'format=bytevalue', `type=${type}`, ...options, 'HEADER=END', ...lines, 'DATA=END', ''];
  try {
    execFileSync('db5.3_load', [join(directory, 'Packages')], { input: dump.join('\n') });
    return readFileSync(join(directory, 'Packages'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function adler32(bytes: Buffer): number {
  let [one, two] = [1, 0];
  for (const byte of bytes) {
    one = (one + byte) % 65_521;
    two = (two + one) % 65_521;
  }
  return two * 65_536 + one;
}
