import { PatternProblem, replaceMatches, trimPrefix, trimSuffix } from './pattern.ts';
import { nameAt } from './variable-name.ts';
import { withoutMark } from './words.ts';

/** Values of variables; a name without entry, or with undefined, is unset. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What an expansion gave. */
export interface Expansion {
  readonly value: string;
  /** Names that were read while unset, and had no default. */
  readonly unset: readonly string[];
  /** Why it could not be expanded. */
  readonly problem?: string;
}

const MAX_DEPTH = 32;
const MAX_LENGTH = 64 * 1024;
/** Comparisons of patterns with the values they are applied to; image names need some thousand. */
const MAX_STEPS = 100_000;

/**
 * Expands a word as BuildKit's shell lexer does: quotes removed, `$name` and every `${name...}` form applied.
 *
 * @see Dockerfile reference, "Environment replacement"; BuildKit, `frontend/dockerfile/shell`, `Lex.ProcessWord`
 */
export function expand(word: string, variables: Variables, escapeCharacter: '\\' | '`' = '\\'): Expansion {
  const state: State = {
    text: withoutMark(word),
    position: 0,
    variables,
    escape: escapeCharacter,
    keepEscapes: false,
    unset: [],
    length: 0,
    budget: { steps: MAX_STEPS },
  };
  try {
    return { value: readUntil(state, undefined, 0), unset: state.unset };
  } catch (error) {
    if (!(error instanceof ExpansionProblem) && !(error instanceof PatternProblem)) throw error;
    return { value: '', unset: state.unset, problem: error.message };
  }
}

class ExpansionProblem extends Error {}

interface State {
  readonly text: string;
  position: number;
  readonly variables: Variables;
  readonly escape: string;
  /** Within a pattern, and what replaces it, escapes stay for the pattern's own reader. */
  keepEscapes: boolean;
  readonly unset: string[];
  length: number;
  readonly budget: { steps: number };
}

function readUntil(
  state: State,
  stop: string | undefined,
  depth: number,
  { keepEscapes = false, isPattern = false } = {},
): string {
  if (depth > MAX_DEPTH) throw new ExpansionProblem('nested too deep');
  const before = state.keepEscapes;
  state.keepEscapes = keepEscapes;
  let value = '';
  const add = (text: string) => {
    value += text;
    state.length += text.length;
    if (state.length > MAX_LENGTH) throw new ExpansionProblem('it expands to too much');
  };
  for (;;) {
    const character = state.text[state.position];
    if (character === undefined) {
      if (stop !== undefined) throw new ExpansionProblem(`missing ${stop}`);
      break;
    }
    state.position += 1;
    if (character === stop) break;
    if (character === "'") add(readSingle(state, isPattern));
    else if (character === '"') add(readDouble(state, depth));
    else if (character === '$') add(readVariable(state, depth));
    else if (character === state.escape) {
      add((state.keepEscapes ? character : '') + (state.text[state.position] ?? ''));
      state.position += 1;
    } else add(character);
  }
  state.keepEscapes = before;
  return value;
}

function readSingle(state: State, isPattern: boolean): string {
  const end = state.text.indexOf("'", state.position);
  if (end < 0) throw new ExpansionProblem("missing closing '");
  const value = state.text.slice(state.position, end);
  state.position = end + 1;
  return isPattern ? value.replaceAll(state.escape, () => state.escape.repeat(2)) : value;
}

function readDouble(state: State, depth: number): string {
  let value = '';
  while (state.position < state.text.length) {
    const character = state.text[state.position] ?? '';
    state.position += 1;
    if (character === '"') return value;
    if (character === '$') value += readVariable(state, depth);
    else if (character === state.escape) {
      const next = state.text[state.position] ?? '';
      if (next === '"' || next === '$' || next === state.escape) {
        value += state.keepEscapes ? character + next : next;
        state.position += 1;
      } else value += state.keepEscapes ? character.repeat(2) : character;
    } else value += character;
    if (value.length > MAX_LENGTH) throw new ExpansionProblem('it expands to too much');
  }
  throw new ExpansionProblem('missing closing "');
}

function readVariable(state: State, depth: number): string {
  if (state.text[state.position] !== '{') {
    const name = readName(state);
    return name === '' ? '$' : read(state, name);
  }
  state.position += 1;
  const first = state.text[state.position] ?? '';
  if (first === '' || '{}:'.includes(first)) throw new ExpansionProblem('a variable without a name');
  const name = readName(state);
  const operator = state.text[state.position];
  state.position += 1;
  switch (operator) {
    case '}':
      return read(state, name);
    case ':': {
      const kind = state.text[state.position] ?? '';
      state.position += 1;
      if (!'+-?'.includes(kind) || kind === '') throw new ExpansionProblem(`unsupported modifier :${kind}`);
      return substitute(state, name, kind, true, depth);
    }
    case '+':
    case '-':
    case '?':
      return substitute(state, name, operator, false, depth);
    case '#':
    case '%':
      return trim(state, name, operator, depth);
    case '/':
      return replace(state, name, depth);
    default:
      throw new ExpansionProblem('unsupported modifier in substitution');
  }
}

/** `-` default, `+` alternative, `?` error; with a colon an empty value counts as unset. */
function substitute(state: State, name: string, kind: string, colon: boolean, depth: number): string {
  // Names read inside an unused word do not count as missed.
  const missed = state.unset.length;
  const word = readUntil(state, '}', depth + 1);
  const current = own(state, name);
  const present = current !== undefined && !(colon && current === '');
  if (kind === '+') {
    if (!present) state.unset.length = missed;
    return present ? word : '';
  }
  if (present) {
    state.unset.length = missed;
    return current;
  }
  if (kind === '?') throw new ExpansionProblem(`${name}: ${word === '' ? 'not set' : word}`);
  return word;
}

/** `#` shortest prefix, `##` longest; `%` and `%%` the same for the suffix. */
function trim(state: State, name: string, kind: '#' | '%', depth: number): string {
  const word = readUntil(state, '}', depth + 1, { keepEscapes: true, isPattern: true });
  const greedy = word.startsWith(kind);
  const pattern = greedy ? word.slice(1) : word;
  const cut = kind === '#' ? trimPrefix : trimSuffix;
  return cut(read(state, name), pattern, greedy, state.budget);
}

/** `/pattern/replacement` once, `//` everywhere. */
function replace(state: State, name: string, depth: number): string {
  const all = state.text[state.position] === '/';
  if (all) state.position += 1;
  const pattern = readUntil(state, '/', depth + 1, { keepEscapes: true, isPattern: true });
  const replacement = readUntil(state, '}', depth + 1, { keepEscapes: true });
  return replaceMatches(read(state, name), pattern, replacement, all, state.budget);
}

function readName(state: State): string {
  const name = nameAt(state.text, state.position);
  state.position += name.length;
  return name;
}

function read(state: State, name: string): string {
  const value = own(state, name);
  if (value === undefined) state.unset.push(name);
  return value ?? '';
}

function own(state: State, name: string): string | undefined {
  return Object.hasOwn(state.variables, name) ? state.variables[name] : undefined;
}
