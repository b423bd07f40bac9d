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

function writeHash(records: readonly (readonly [key: Buffer, value: Buffer])[], options: readonly string[]): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-berkeley-'));
  const lines = records.flatMap(([key, value]) => [` ${key.toString('hex')}`, ` ${value.toString('hex')}`]);
  const dump = ['VERSION=3', 'format=bytevalue', 'type=hash', ...options, 'HEADER=END', ...lines, 'DATA=END', ''];
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
