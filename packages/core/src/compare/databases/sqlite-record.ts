import { invalidDatabase } from './database-error.ts';

/** A value of a row; integers that a number cannot hold are bigints. */
export type SqliteValue = null | number | bigint | string | Buffer;

/** Bytes of a value by its serial type, for types below 12. */
const SIZES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0] as const;

/** Decodes the values of a row. @see https://www.sqlite.org/fileformat2.html#record_format */
export function decodeRecord(bytes: Buffer): SqliteValue[] {
  const [headerEnd, start] = readVarint(bytes, 0);
  if (headerEnd > bytes.length) throw invalidDatabase('a row shorter than its header');
  const values: SqliteValue[] = [];
  let at = headerEnd;
  for (let next = start; next < headerEnd; ) {
    const [type, after] = readVarint(bytes, next);
    next = after;
    if (type < 0) throw invalidDatabase(`value of type ${type}`);
    const size = type < 12 ? SIZES[type]! : Math.floor((type - 12) / 2);
    if (at + size > bytes.length) throw invalidDatabase('a value leaves its row');
    values.push(decodeValue(bytes.subarray(at, at + size), type));
    at += size;
  }
  return values;
}

/** Reads an integer of one to nine bytes, and where it ends. */
export function readVarint(bytes: Buffer, start: number): [value: number, end: number] {
  let value = 0n;
  for (let index = 0; index < 9; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) throw invalidDatabase('a number leaves its page');
    if (index < 7 && byte < 0x80) return [small(bytes, start, index + 1), start + index + 1];
    if (index === 8) value = (value << 8n) | BigInt(byte);
    else value = (value << 7n) | BigInt(byte & 0x7f);
    if (index === 7 && byte < 0x80) return [Number(value), start + 8];
  }
  return [Number(BigInt.asIntN(64, value)), start + 9];
}

/** Seven bits of each byte, at most 49. */
function small(bytes: Buffer, start: number, length: number): number {
  let value = 0;
  for (let index = 0; index < length; index += 1) value = value * 128 + (bytes[start + index]! & 0x7f);
  return value;
}

function decodeValue(bytes: Buffer, type: number): SqliteValue {
  if (type === 0) return null;
  if (type === 8) return 0;
  if (type === 9) return 1;
  if (type === 7) return bytes.readDoubleBE(0);
  if (type === 6) {
    const value = bytes.readBigInt64BE(0);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (type < 6) return bytes.readIntBE(0, bytes.length);
  if (type < 12) throw invalidDatabase(`value of type ${type}`);
  return type % 2 === 0 ? bytes : bytes.toString('utf8');
}
