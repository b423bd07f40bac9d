const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes the text between two positions, up to a NUL. */
export function decodeText(bytes: Buffer, start: number, end: number): string {
  let index = start;
  let seen = 0;
  for (; index < end; index += 1) {
    const byte = bytes[index]!;
    if (byte === 0) break;
    seen |= byte;
  }
  return seen < 0x80 ? bytes.toString('latin1', start, index) : decodeUtf8(bytes.subarray(start, index));
}

/** Decodes UTF-8 without loss: a byte that is not UTF-8 becomes the lone surrogate U+DC00 plus the byte. */
function decodeUtf8(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    let text = '';
    for (let index = 0; index < bytes.length; ) {
      const length = sequenceLength(bytes, index);
      text +=
        length === 0
          ? String.fromCharCode(0xdc00 + bytes[index]!)
          : utf8.decode(bytes.subarray(index, index + length));
      index += Math.max(length, 1);
    }
    return text;
  }
}

/** Encodes text as {@link decodeText} decoded it: to the bytes the archive held. */
export function encodeText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  return Buffer.concat(
    Array.from(text, (character) => {
      const code = character.codePointAt(0)!;
      return code >= 0xdc80 && code <= 0xdcff ? Buffer.of(code - 0xdc00) : Buffer.from(character);
    }),
  );
}

/** Length of the valid UTF-8 sequence at a position, 0 when there is none. */
function sequenceLength(bytes: Buffer, index: number): number {
  const first = bytes[index]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  try {
    utf8.decode(bytes.subarray(index, index + length));
    return index + length <= bytes.length ? length : 0;
  } catch {
    return 0;
  }
}

/**
 * Cleans a stored name lexically into an absolute path; `undefined` when it leaves the root.
 * `./usr//bin/` and `usr/bin` are both `/usr/bin`.
 */
export function cleanPath(name: string): string | undefined {
  // What tar writers write is clean but for these two.
  const plain = name.slice(name.startsWith('./') ? 2 : 0, name.endsWith('/') ? -1 : undefined);
  if (plain !== '' && !UNCLEAN.test(plain)) return `/${plain}`;
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return `/${parts.join('/')}`;
}

/** An empty, `.` or `..` component. */
const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)/;
