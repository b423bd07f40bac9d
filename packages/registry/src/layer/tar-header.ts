import { RegistryError } from '../errors.ts';
import { decodeText } from './tar-text.ts';

/** Size of a tar header and unit of everything in an archive. */
export const BLOCK_BYTES = 512;

/** The fields of one 512-byte header, before any extension header applies. */
export interface TarHeader {
  name: string;
  /** Type flag as a character; an old NUL flag is `0`. */
  readonly flag: string;
  readonly mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  linkName: string;
  readonly major: number;
  readonly minor: number;
}

/**
 * Decodes a header block.
 *
 * @throws {@link RegistryError} `INVALID_LAYER` for a wrong checksum or a number that is none.
 * @see POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"
 */
export function decodeHeader(block: Buffer, at: number): TarHeader {
  verifyChecksum(block, at);
  const posix = block.toString('latin1', at + 257, at + 263) === 'ustar\0';
  // Device numbers and the prefix exist since ustar; GNU keeps other things where the prefix is.
  const ustar = posix || block.toString('latin1', at + 257, at + 265) === 'ustar  \0';
  const name = decodeText(block, at, at + 100);
  const prefix = posix ? decodeText(block, at + 345, at + prefixEnd(block, at)) : '';
  const flag = block[at + 156]!;
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    flag: flag === 0 ? '0' : String.fromCharCode(flag),
    mode: decodeNumber(block, at + 100, 8, 'mode'),
    uid: decodeNumber(block, at + 108, 8, 'uid'),
    gid: decodeNumber(block, at + 116, 8, 'gid'),
    size: decodeNumber(block, at + 124, 12, 'size'),
    mtime: decodeNumber(block, at + 136, 12, 'mtime'),
    linkName: decodeText(block, at + 157, at + 257),
    major: ustar ? decodeNumber(block, at + 329, 8, 'devmajor') : 0,
    minor: ustar ? decodeNumber(block, at + 337, 8, 'devminor') : 0,
  };
}

/** Tells whether a block is all zeros. */
export function isZeroBlock(block: Buffer, at: number): boolean {
  for (let index = at; index < at + BLOCK_BYTES; index += 1) if (block[index] !== 0) return false;
  return true;
}

/** The star variant of ustar keeps two times behind a shorter prefix. */
function prefixEnd(block: Buffer, at: number): number {
  return block.toString('latin1', at + 508, at + 512) === 'tar\0' ? 345 + 131 : 345 + 155;
}

function verifyChecksum(block: Buffer, at: number): void {
  const stored = decodeNumber(block, at + 148, 8, 'checksum');
  let sum = 8 * 0x20;
  for (let index = at; index < at + 148; index += 1) sum += block[index]!;
  for (let index = at + 156; index < at + BLOCK_BYTES; index += 1) sum += block[index]!;
  if (sum === stored) return;
  // Some old writers summed signed bytes.
  for (let index = at; index < at + BLOCK_BYTES; index += 1) {
    if (block[index]! >= 0x80 && (index < at + 148 || index >= at + 156)) sum -= 256;
  }
  if (sum !== stored) throw invalidArchive('checksum does not match the header');
}

/** Octal text, or GNU's base-256 when the first bit is set. Only a time may be negative. */
function decodeNumber(block: Buffer, at: number, length: number, field: string): number {
  if (block[at]! >= 0x80) return decodeBase256(block, at, length, field);
  const end = at + length;
  let index = at;
  while (index < end && (block[index] === 0x20 || block[index] === 0)) index += 1;
  let value = 0;
  for (; index < end; index += 1) {
    const digit = block[index]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  while (index < end && block[index] === 0x20) index += 1;
  if (index < end && block[index] !== 0) throw invalidArchive(`${field} is not an octal number`);
  return value;
}

function decodeBase256(block: Buffer, at: number, length: number, field: string): number {
  const negative = (block[at]! & 0x40) !== 0;
  if (negative && field !== 'mtime') throw invalidArchive(`${field} is negative`);
  let value = negative ? (block[at]! & 0x7f) - 0x80 : block[at]! & 0x7f;
  for (let index = at + 1; index < at + length; index += 1) value = value * 256 + block[index]!;
  if (!Number.isSafeInteger(value)) throw invalidArchive(`${field} is too large`);
  return value;
}

/** The error of an archive that cannot be read. */
export function invalidArchive(
  reason: string,
  code: 'INVALID_LAYER' | 'UNSUPPORTED' = 'INVALID_LAYER',
): RegistryError {
  return new RegistryError(code, `cannot read the layer's archive: ${reason}`);
}
