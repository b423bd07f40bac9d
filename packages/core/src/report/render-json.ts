import type { VetReport } from './types.ts';

/**
 * Writes a report as JSON: members sorted, so that two reports can be compared line by line, indented by two
 * spaces, a line feed at the end.
 */
export function renderJson(report: VetReport): string {
  return `${JSON.stringify(sorted(report), null, 2)}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // A null prototype, for a label may be named `__proto__`.
  return Object.assign(
    Object.create(null),
    Object.fromEntries(members.map(([key, member]) => [key, sorted(member)])),
  );
}
