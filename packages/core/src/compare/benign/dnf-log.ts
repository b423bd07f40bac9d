/** `2026-11-29T00:24:19+0000 ` at the start of a line. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d{4}) /gm;
/** How long something took, in milliseconds. */
const DURATION = /( timer: [^\n]{1,120}: )\d{1,9}(?= ms$)/gm;
/** A date as the locale writes it: `Sun Nov 29 00:24:18 2026`, `Sun 29 Nov 2026 12:24:18 AM UTC`. */
const DATE =
  '[A-Z][a-z]{2} (?:[A-Z][a-z]{2} [ \\d]\\d|\\d\\d [A-Z][a-z]{2} \\d{4}) \\d\\d:\\d\\d:\\d\\d(?: [AP]M [A-Z]{3,5}| \\d{4})';
const METADATA = new RegExp(`(: using metadata from )${DATE}(?=\\.$)`, 'gm');
const EXPIRATION = new RegExp(
  `( Last metadata expiration check: )\\d{1,9}:\\d\\d:\\d\\d ago on ${DATE}(?=\\.$)`,
  'gm',
);
/** `6.4 k`, as the table of a transaction and its sums have it. */
const SIZE = /\b\d{1,4}(?:\.\d)? [kMG]$/gm;
/** A table is as wide as its longest text, and breaks lines that are wider. */
const LAYOUT = /\s+|={2,}/g;

/** Whether two logs of dnf differ only in times, sizes of packages, and how wide their tables are. */
export function sameDnfLog(original: Buffer, rebuilt: Buffer): boolean {
  if (original.includes(0) || rebuilt.includes(0)) return false;
  return normalize(original) === normalize(rebuilt);
}

function normalize(log: Buffer): string {
  return log
    .toString('latin1')
    .replaceAll(TIME, '\0')
    .replaceAll(DURATION, '$1\0')
    .replaceAll(METADATA, '$1\0')
    .replaceAll(EXPIRATION, '$1\0')
    .replaceAll(SIZE, '\0')
    .replaceAll(LAYOUT, (text) => (text.startsWith('=') ? '=' : ' '));
}
