import { RegistryError, type RegistryErrorCode } from '../errors.ts';

/** A parsed JSON object whose members are unknown. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Deepest nesting any OCI document needs, with room. */
const MAX_DEPTH = 64;

/**
 * Parses bytes as one JSON object that every parser reads alike: valid UTF-8, no byte order mark, no duplicate
 * member, bounded depth. Objects have no prototype, so a member `__proto__` is only a member.
 *
 * @param ambiguousCode - for what JSON parsers read differently: a member twice, another encoding, deep nesting
 * @throws {@link RegistryError} with the given codes
 */
export function parseStrictJson(
  bytes: Uint8Array,
  what: string,
  code: RegistryErrorCode,
  ambiguousCode: RegistryErrorCode = code,
): JsonObject {
  const fail = (reason: string, cause?: unknown, as = code) =>
    new RegistryError(as, `${what} is not acceptable JSON: ${reason}`, { cause });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw fail('it is not UTF-8', error, ambiguousCode);
  }
  const duplicate = findDuplicateMember(text);
  if (duplicate !== undefined) throw fail(duplicate, undefined, ambiguousCode);
  let value: unknown;
  try {
    value = JSON.parse(text, (_key, member) =>
      isObject(member) ? Object.assign(Object.create(null), member) : member,
    );
  } catch (error) {
    throw fail(error instanceof Error ? error.message : 'it does not parse', error);
  }
  if (!isObject(value)) throw fail('it is not an object');
  return value;
}

/** Tells whether a value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Finds what `JSON.parse` would silently accept: a member named twice in one object, or nesting beyond the bound.
 * Text that is not JSON is left for `JSON.parse` to refuse.
 */
function findDuplicateMember(text: string): string | undefined {
  const scopes: (Set<string> | undefined)[] = [];
  let index = 0;
  while (index < text.length) {
    const character = text.charCodeAt(index);
    if (character === 0x22) {
      const end = endOfString(text, index);
      const scope = scopes.at(-1);
      if (scope !== undefined && isMemberName(text, end)) {
        const name = decodeString(text.slice(index, end));
        if (scope.has(name)) return `the member ${JSON.stringify(name.slice(0, 80))} appears twice`;
        scope.add(name);
      }
      index = end;
      continue;
    }
    if (character === 0x7b || character === 0x5b) {
      scopes.push(character === 0x7b ? new Set() : undefined);
      if (scopes.length > MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH}`;
    } else if (character === 0x7d || character === 0x5d) scopes.pop();
    index += 1;
  }
  return undefined;
}

/** Tells whether the string that ends before `index` is followed by a colon. */
function isMemberName(text: string, index: number): boolean {
  let next = index;
  while (' \t\n\r'.includes(text[next] ?? '-')) next += 1;
  return text[next] === ':';
}

/** Index after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length) {
    const character = text.charCodeAt(index);
    if (character === 0x22) return index + 1;
    index += character === 0x5c ? 2 : 1;
  }
  return text.length;
}

function decodeString(literal: string): string {
  try {
    return String(JSON.parse(literal));
  } catch {
    return literal;
  }
}
