import { TrustError } from '../errors.ts';

const PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-][0-2]\d:[0-5]\d)$/;

/**
 * Writes an instant in Go's shortest RFC 3339 form, to the second. `Date.toISOString()` is not usable: its trailing
 * zeros (`.120Z`) make notary-server compute another hash than the one of the bytes it stores.
 */
export function formatGoTime(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/**
 * Reads an RFC 3339 instant as milliseconds since 1970.
 *
 * @throws {@link TrustError} `MALFORMED`
 */
export function parseGoTime(text: string): number {
  const match = PATTERN.exec(text);
  const seconds = match === null ? Number.NaN : Date.parse(`${text.slice(0, 19)}Z`);
  // Date.parse takes February 30th for March and 24:00 for midnight; Go does not.
  if (
    match === null ||
    Number.isNaN(seconds) ||
    new Date(seconds).toISOString().slice(0, 19) !== text.slice(0, 19)
  ) {
    throw new TrustError('MALFORMED', `read time ${JSON.stringify(text.slice(0, 64))}: not an RFC 3339 time`);
  }
  const fraction = Math.floor(Number(`0${match[1] ?? ''}`) * 1000);
  return seconds + fraction - offsetMinutes(match[2] ?? 'Z') * 60_000;
}

/** Tells whether Go would write the instant with exactly these characters. */
export function isGoTime(text: string): boolean {
  const match = PATTERN.exec(text);
  if (match === null || match[1]?.endsWith('0') || match[2]?.endsWith('00:00')) return false;
  try {
    parseGoTime(text);
    return true;
  } catch {
    return false;
  }
}

function offsetMinutes(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return zone.startsWith('-') ? -minutes : minutes;
}
