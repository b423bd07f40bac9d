import type { Recorded } from './recorded.ts';

/** How an instruction shows in a history, and which entries it accepts as its own. */
export interface Acceptor {
  readonly text: string;
  readonly accepts: (recorded: Recorded) => boolean;
}

/** The strings of a JSON list, or undefined for the other form. */
export function jsonList(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The words of a JSON list or, else, those between blanks. */
export function wordsOf(text: string): readonly string[] {
  return jsonList(text) ?? text.split(/\s+/);
}

/** Without empty, `.` and `..` parts; Windows's separators as the others. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split(/[/\\]/)) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
