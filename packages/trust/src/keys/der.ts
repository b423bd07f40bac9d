import { TrustError } from '../errors.ts';

// The little of X.690 that keys and certificates need.

/** One DER element. */
export interface DerElement {
  readonly tag: number;
  /** Content octets. */
  readonly content: Uint8Array;
  /** The whole element, header included. */
  readonly bytes: Uint8Array;
}

/**
 * Reads the elements that make up bytes.
 *
 * @throws {@link TrustError} `INVALID_KEY`
 */
export function readDer(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const tag = byteAt(bytes, offset);
    let length = byteAt(bytes, offset + 1);
    let start = offset + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4) throw truncated();
      length = 0;
      for (let index = 0; index < count; index += 1) length = length * 256 + byteAt(bytes, start + index);
      start += count;
    }
    const end = start + length;
    if (end > bytes.length) throw truncated();
    elements.push({ tag, content: bytes.subarray(start, end), bytes: bytes.subarray(offset, end) });
    offset = end;
  }
  return elements;
}

/** Reads one element of an expected tag and the elements inside it. */
export function readDerSequence(bytes: Uint8Array, tag = 0x30): DerElement[] {
  const [element, ...rest] = readDer(bytes);
  if (element === undefined || element.tag !== tag || rest.length > 0) throw truncated();
  return readDer(element.content);
}

/** Writes an element. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), content]);
}

/** Writes a SEQUENCE. */
export function derSequence(...contents: readonly Uint8Array[]): Buffer {
  return der(0x30, ...contents);
}

/** Writes a non-negative INTEGER from a number or big-endian bytes. */
export function derInteger(value: number | Uint8Array): Buffer {
  let bytes =
    typeof value === 'number' ? Buffer.from(value.toString(16).padStart(8, '0'), 'hex') : Buffer.from(value);
  while (bytes.length > 1 && bytes[0] === 0) bytes = bytes.subarray(1);
  return der(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

/** Writes an OBJECT IDENTIFIER from its dotted form. */
export function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let value = Math.floor(arc / 128); value > 0; value = Math.floor(value / 128)) {
      groups.unshift((value & 0x7f) | 0x80);
    }
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

/** Writes an OCTET STRING. */
export function derOctets(content: Uint8Array): Buffer {
  return der(0x04, content);
}

/** Writes a BIT STRING of whole bytes. */
export function derBits(content: Uint8Array, unusedBits = 0): Buffer {
  return der(0x03, Buffer.from([unusedBits]), content);
}

function byteAt(bytes: Uint8Array, offset: number): number {
  const value = bytes[offset];
  if (value === undefined) throw truncated();
  return value;
}

function truncated(): TrustError {
  return new TrustError('INVALID_KEY', 'read DER: not the expected structure');
}
