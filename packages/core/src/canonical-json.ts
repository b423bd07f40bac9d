import { CoreError } from './errors.ts';

/**
 * Writes a JSON value in the one form its digest is taken of: no white space, members sorted by UTF-16 code
 * units, shortest numbers. A member that is `undefined` is left out, as `JSON.stringify` does.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for what JSON cannot carry: functions, non-finite numbers, lone
 * surrogates, cycles.
 * @see RFC 8785 (JSON Canonicalization Scheme)
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

function write(value: unknown, ancestors: readonly object[]): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') {
    if (!value.isWellFormed()) refuse('a lone surrogate');
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) refuse(`the number ${value}`);
    // ECMAScript's own number form is the one RFC 8785 prescribes; it writes -0 as 0.
    return JSON.stringify(value);
  }
  if (typeof value !== 'object') refuse(`a value of type ${typeof value}`);
  if (ancestors.includes(value)) refuse('a cycle');
  const inside = [...ancestors, value];
  if (Array.isArray(value)) return `[${value.map((item) => write(item, inside)).join(',')}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${write(key, inside)}:${write(member, inside)}`);
  return `{${members.join(',')}}`;
}

function refuse(what: string): never {
  throw new CoreError('INVALID_OPTIONS', `cannot write canonical JSON: ${what} has no JSON form`);
}
