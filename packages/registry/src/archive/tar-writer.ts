import { RegistryError } from '../errors.ts';

/** One file to write into a tar; its content must have exactly `size` bytes. */
export interface TarFile {
  /** ASCII. */
  readonly name: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/**
 * Yields the bytes of a tar. The same files in the same order give the same bytes: there are no times and no owners.
 *
 * @throws {@link RegistryError} `SIZE_MISMATCH` for content that is shorter or longer than was said.
 * @see POSIX.1-2017, pax, "ustar Interchange Format"
 */
export async function* writeTar(files: AsyncIterable<TarFile>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, size, content } of files) {
    yield headerOf(name, size);
    let written = 0;
    for await (const chunk of content) {
      written += chunk.byteLength;
      if (written > size) break;
      yield chunk;
    }
    if (written !== size) {
      throw new RegistryError(
        'SIZE_MISMATCH',
        `writing ${name}: expected ${size} bytes, received ${written}`,
      );
    }
    yield Buffer.alloc(paddingOf(size));
  }
  yield Buffer.alloc(2 * BLOCK);
}

const BLOCK = 512;
const NUL = String.fromCharCode(0);
const MAX_NAME = 100;
/** What eleven octal digits hold; above it GNU and Go write base 256, and every reader knows that. */
const MAX_OCTAL_SIZE = 0o77777777777;

function headerOf(name: string, size: number): Uint8Array {
  if (name.length <= MAX_NAME) return ustar(name, size, '0');
  const record = paxRecord('path', name);
  return Buffer.concat([
    ustar('PaxHeaders/name', record.byteLength, 'x'),
    record,
    Buffer.alloc(paddingOf(record.byteLength)),
    ustar(name.slice(0, MAX_NAME), size, '0'),
  ]);
}

function ustar(name: string, size: number, type: '0' | 'x'): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, MAX_NAME, 'latin1');
  const fields = [
    [100, octal(0o644, 7)],
    [108, octal(0, 7)],
    [116, octal(0, 7)],
    [136, octal(0, 11)],
  ] as const;
  for (const [offset, text] of fields) header.write(text, offset, 'latin1');
  if (size <= MAX_OCTAL_SIZE) header.write(octal(size, 11), 124, 'latin1');
  else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(size), 128);
  }
  // The checksum is computed as if it were spaces.
  header.write(`        ${type}`, 148, 'latin1');
  header.write(`ustar${NUL}00`, 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)} `, 148, 'latin1');
  return header;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0') + NUL;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}
