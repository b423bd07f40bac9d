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
/** Comparisons of a pattern with the value it is applied to; image names need some thousand. */
const MAX_STEPS = 100_000;

/**
 * Expands a word as BuildKit's shell lexer does: quotes removed, `$name` and every `${name...}` form applied.
 *
 * @see Dockerfile reference, "Environment replacement"
 */
export function expand(word: string, variables: Variables, escapeCharacter: '\\' | '`' = '\\'): Expansion {
  const state: State = {
    text: word,
    position: 0,
    variables,
    escape: escapeCharacter,
    unset: [],
    length: 0,
    steps: 0,
  };
  try {
    return { value: readUntil(state, undefined, 0), unset: state.unset };
  } catch (error) {
    if (!(error instanceof ExpansionProblem)) throw error;
    return { value: '', unset: state.unset, problem: error.message };
  }
}

class ExpansionProblem extends Error {}

interface State {
  readonly text: string;
  position: number;
  readonly variables: Variables;
  readonly escape: string;
  readonly unset: string[];
  length: number;
  steps: number;
}

function readUntil(state: State, stop: string | undefined, depth: number): string {
  if (depth > MAX_DEPTH) throw new ExpansionProblem('nested too deep');
  let value = '';
  const add = (text: string) => {
    value += text;
    state.length += text.length;
    if (state.length > MAX_LENGTH) throw new ExpansionProblem('it expands to too much');
  };
  while (state.position < state.text.length) {
    const character = state.text[state.position] ?? '';
    if (character === stop) return value;
    state.position += 1;
    if (character === "'") add(readSingle(state));
    else if (character === '"') add(readDouble(state, depth));
    else if (character === '$') add(readVariable(state, depth));
    else if (character === state.escape) {
      add(state.text[state.position] ?? '');
      state.position += 1;
    } else add(character);
  }
  if (stop !== undefined) throw new ExpansionProblem(`missing ${stop}`);
  return value;
}

function readSingle(state: State): string {
  const end = state.text.indexOf("'", state.position);
  if (end < 0) throw new ExpansionProblem("missing closing '");
  const value = state.text.slice(state.position, end);
  state.position = end + 1;
  return value;
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
      state.position += 1;
      value += next === '"' || next === '$' || next === state.escape ? next : state.escape + next;
    } else value += character;
  }
  throw new ExpansionProblem('missing closing "');
}

function readVariable(state: State, depth: number): string {
  if (state.text[state.position] !== '{') {
    const name = readName(state);
    return name === '' ? '$' : read(state, name);
  }
  state.position += 1;
  const name = readName(state);
  if (name === '') throw new ExpansionProblem('a variable without a name');
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
  state.position += 1;
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
  const greedy = state.text[state.position] === kind;
  if (greedy) state.position += 1;
  const pattern = readUntil(state, '}', depth + 1);
  state.position += 1;
  const value = read(state, name);
  const sizes = Array.from({ length: value.length + 1 }, (_item, size) => size);
  for (const size of greedy ? sizes.reverse() : sizes) {
    const part = kind === '#' ? value.slice(0, size) : value.slice(value.length - size);
    if (matches(state, part, pattern))
      return kind === '#' ? value.slice(size) : value.slice(0, value.length - size);
  }
  return value;
}

/** `/pattern/replacement` once, `//` everywhere. */
function replace(state: State, name: string, depth: number): string {
  const all = state.text[state.position] === '/';
  if (all) state.position += 1;
  const pattern = readUntil(state, '/', depth + 1);
  state.position += 1;
  const replacement = readUntil(state, '}', depth + 1);
  state.position += 1;
  const value = read(state, name);
  if (pattern === '') return value;
  let result = '';
  let position = 0;
  let replaced = false;
  while (position < value.length) {
    const end = replaced && !all ? -1 : longestMatch(state, value, position, pattern);
    if (end > position) {
      result += replacement;
      position = end;
      replaced = true;
    } else {
      result += value[position];
      position += 1;
    }
  }
  return result;
}

function longestMatch(state: State, value: string, start: number, pattern: string): number {
  const longest = pattern.includes('*') ? value.length : Math.min(value.length, start + pattern.length);
  for (let end = longest; end > start; end -= 1) {
    if (matches(state, value.slice(start, end), pattern)) return end;
  }
  return -1;
}

/** Glob match of `*` and `?`, in time proportional to the product of the lengths. */
function matches(state: State, text: string, pattern: string): boolean {
  let [at, star, mark] = [0, -1, 0];
  let position = 0;
  state.steps += 1;
  while (position < text.length) {
    state.steps += 1;
    if (state.steps > MAX_STEPS) throw new ExpansionProblem('its pattern takes too long to match');
    if (
      at < pattern.length &&
      (pattern[at] === '?' || (pattern[at] === text[position] && pattern[at] !== '*'))
    ) {
      position += 1;
      at += 1;
    } else if (pattern[at] === '*') {
      star = at;
      mark = position;
      at += 1;
    } else if (star >= 0) {
      at = star + 1;
      mark += 1;
      position = mark;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

function readName(state: State): string {
  const match = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/.exec(
    state.text.slice(state.position, state.position + 256),
  );
  const name = match?.[0] ?? '';
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
