import { withoutMark } from './words.ts';

/** Why a pattern cannot be applied. */
export class PatternProblem extends Error {}

/** How many more characters may be compared. */
interface Budget {
  steps: number;
}

/** The parts between `*`; null stands for `?`. */
type Pattern = readonly (readonly (string | null)[])[];

/** Removes what a pattern matches at the start: the longest match when greedy, the shortest otherwise. */
export function trimPrefix(value: string, pattern: string, greedy: boolean, budget: Budget): string {
  const characters = [...value];
  const end = matchAt(readPattern(pattern), characters, 0, greedy, budget);
  return end === undefined ? value : characters.slice(end).join('');
}

/** Removes what a pattern matches at the end. */
export function trimSuffix(value: string, pattern: string, greedy: boolean, budget: Budget): string {
  return reverse(trimPrefix(reverse(value), reversePattern(pattern), greedy, budget));
}

/**
 * Replaces the first match of a pattern, or all of them; each is as long as can be.
 *
 * @throws PatternProblem when all matches are to be replaced by text with a `$`, which BuildKit reads as a reference
 */
export function replaceMatches(
  value: string,
  pattern: string,
  replacement: string,
  all: boolean,
  budget: Budget,
): string {
  if (all && replacement.includes('$')) throw new PatternProblem('its replacement holds a $');
  const parts = readPattern(pattern);
  const characters = [...value];
  let result = '';
  let done = 0;
  let from = 0;
  while (from <= characters.length) {
    const match = findMatch(parts, characters, from, budget);
    if (match === undefined) break;
    const { start, end } = match;
    result += characters.slice(done, start).join('');
    // An empty match right after another one does not count.
    if (end > done || start === 0) result += replacement;
    done = end;
    if (!all) break;
    from = end > from ? end : from + 1;
  }
  return result + characters.slice(done).join('');
}

function findMatch(
  parts: Pattern,
  value: readonly string[],
  from: number,
  budget: Budget,
): { readonly start: number; readonly end: number } | undefined {
  for (let start = from; start <= value.length; start += 1) {
    const end = matchAt(parts, value, start, true, budget);
    if (end !== undefined) return { start, end };
  }
  return undefined;
}

/** Where a match that begins at `start` ends. Each part but the last is taken as early as it comes, which never loses one. */
function matchAt(
  parts: Pattern,
  value: readonly string[],
  start: number,
  greedy: boolean,
  budget: Budget,
): number | undefined {
  const [first = [], ...others] = parts;
  if (!fits(first, value, start, budget)) return undefined;
  let at = start + first.length;
  for (const [index, part] of others.entries()) {
    const latest = greedy && index === others.length - 1;
    let found: number | undefined;
    for (let offset = 0; found === undefined && at + offset + part.length <= value.length; offset += 1) {
      const position = latest ? value.length - part.length - offset : at + offset;
      if (fits(part, value, position, budget)) found = position;
    }
    if (found === undefined) return undefined;
    at = found + part.length;
  }
  return at;
}

function fits(
  part: readonly (string | null)[],
  value: readonly string[],
  at: number,
  budget: Budget,
): boolean {
  budget.steps -= 1;
  for (const [index, character] of part.entries()) {
    budget.steps -= 1;
    if (budget.steps < 0) throw new PatternProblem('its pattern takes too long to match');
    const found = value[at + index];
    if (found === undefined || (character !== null && found !== character)) return false;
  }
  return true;
}

/** `\*`, `\?` and `\\` stand for themselves, `\}` and `\/` for the character alone; no other escape is known. */
function readPattern(text: string): Pattern {
  const parts: (string | null)[][] = [[]];
  const characters = [...withoutMark(text)];
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index] ?? '';
    const next = characters[index + 1] ?? '';
    if (character === '*') parts.push([]);
    else if (character === '?') parts.at(-1)?.push(null);
    else if (character !== '\\') parts.at(-1)?.push(character);
    else if (next === '*' || next === '?' || next === '\\') {
      parts.at(-1)?.push(next);
      index += 1;
    } else if (next !== '}' && next !== '/') throw new PatternProblem(`invalid escape \\${next}`);
  }
  return parts;
}

function reverse(text: string): string {
  return [...text].reverse().join('');
}

/** An escape stays in front of what it escapes. */
function reversePattern(text: string): string {
  const units: string[] = [];
  const characters = [...text];
  for (let index = 0; index < characters.length; index += 1) {
    const isEscape = characters[index] === '\\' && index + 1 < characters.length;
    units.push(characters.slice(index, index + (isEscape ? 2 : 1)).join(''));
    if (isEscape) index += 1;
  }
  return units.reverse().join('');
}
