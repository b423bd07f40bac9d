import { TrustError } from '../errors.ts';

/** What canonical JSON can hold: no fractions, no undefined. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Nesting deeper than this is refused; Notary metadata needs five, `custom` data a few more. */
const MAX_DEPTH = 64;

/**
 * Writes a value as canonical JSON, the bytes Notary signs: members sorted by their UTF-8 bytes, only `\` and `"`
 * escaped, whole numbers, no white space.
 *
 * @throws {@link TrustError} `MALFORMED` for a fraction, a number beyond 2^53, a control character, a lone
 *   surrogate or nesting deeper than 64.
 * @see http://wiki.laptop.org/go/Canonical_JSON
 */
export function canonicalJson(value: JsonValue): string {
  return write(value, 0);
}

/** Turns canonical JSON into the form it travels in: Go's HTML-safe escapes of `<`, `>`, `&`, U+2028 and U+2029. */
export function wireJson(canonical: string): string {
  return canonical.replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/**
 * Compares texts by their UTF-8 bytes, which is not the order of `Array.sort()`: JavaScript compares UTF-16 units and
 * puts characters beyond U+FFFF before U+E000.
 */
export function compareUtf8(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b) return codePointRank(a) - codePointRank(b);
  }
  return left.length - right.length;
}

// Surrogates (halves of characters beyond U+FFFF) rank above every other unit.
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function write(value: JsonValue | undefined, depth: number): string {
  if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return writeString(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw malformed(`number ${value} is not a whole number below 2^53`);
    return value === 0 ? '0' : String(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`;
  if (typeof value !== 'object') throw malformed(`${typeof value} has no JSON form`);
  const object = value as { readonly [name: string]: JsonValue };
  const members = Object.keys(object)
    .sort(compareUtf8)
    .map((name) => `${writeString(name)}:${write(object[name], depth + 1)}`);
  return `{${members.join(',')}}`;
}

function writeString(text: string): string {
  if (!text.isWellFormed()) throw malformed('text holds a lone surrogate');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f]/.test(text)) throw malformed('text holds a control character');
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function malformed(reason: string): TrustError {
  return new TrustError('MALFORMED', `write canonical JSON: ${reason}`);
}
