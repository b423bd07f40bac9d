/** What matching may still cost. */
export interface StepBudget {
  left: number;
  /** The error when nothing is left. */
  exceeded(): Error;
}

/** A pattern of paths. Made by {@link parsePattern}. */
export interface PathPattern {
  /** Tells whether it fits a whole path. Takes as many steps as pattern and path have characters, multiplied. */
  matches(path: string, budget: StepBudget): boolean;
}

/** One state of the machine a pattern is: what it takes to get to the next. */
type State =
  | { readonly kind: 'one'; readonly fits: (character: string) => boolean }
  /** `*`: any characters but `/`, or none. */
  | { readonly kind: 'names' }
  /** Of a pattern that ends with two asterisks: anything. */
  | { readonly kind: 'rest' }
  /** Two asterisks and what follows: no directory, or anything up to a `/`. */
  | { readonly kind: 'directories' }
  | { readonly kind: 'inside-directories' };

/**
 * Reads a pattern of `.dockerignore`: `*`, `?`, classes in brackets, two asterisks for any directories, and `\` before a
 * character that stands for itself. Case counts.
 *
 * @returns undefined for a class without end, and a `\` with nothing after it
 * @see Go, path/filepath, Match; moby/patternmatcher
 */
export function parsePattern(text: string): PathPattern | undefined {
  const states: State[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at]!;
    if (character === '*' && characters[at + 1] === '*') {
      while (characters[at + 1] === '*') at += 1;
      if (characters[at + 1] === '/') at += 1;
      if (at + 1 >= characters.length) states.push({ kind: 'rest' });
      else states.push({ kind: 'directories' }, { kind: 'inside-directories' });
    } else if (character === '*') states.push({ kind: 'names' });
    else if (character === '?') states.push({ kind: 'one', fits: (other) => other !== '/' });
    else if (character === '[') {
      const found = parseClass(characters, at + 1);
      if (found === undefined) return undefined;
      states.push({ kind: 'one', fits: found.fits });
      at = found.end;
    } else {
      if (character === '\\') at += 1;
      const literal = characters[at];
      if (literal === undefined) return undefined;
      states.push({ kind: 'one', fits: (other) => other === literal });
    }
  }
  const plain = /^[^*?[\\]*$/.test(text);
  return { matches: plain ? (path) => path === text : (path, budget) => run(states, path, budget) };
}

function parseClass(
  characters: readonly string[],
  start: number,
): { readonly fits: (character: string) => boolean; readonly end: number } | undefined {
  const negated = characters[start] === '^';
  const ranges: (readonly [from: string, to: string])[] = [];
  let at = negated ? start + 1 : start;
  const read = (): string | undefined => {
    if (characters[at] === '\\') at += 1;
    const character = characters[at];
    at += 1;
    return character;
  };
  while (characters[at] !== ']' || ranges.length === 0) {
    if (characters[at] === ']' || characters[at] === '-') return undefined;
    const from = read();
    if (from === undefined) return undefined;
    let to: string | undefined = from;
    if (characters[at] === '-') {
      at += 1;
      if (characters[at] === ']' || characters[at] === '-') return undefined;
      to = read();
    }
    if (to === undefined || to < from) return undefined;
    ranges.push([from, to]);
  }
  const isIn = (other: string) => ranges.some(([from, to]) => from <= other && other <= to);
  return { fits: (other) => isIn(other) !== negated, end: at };
}

/** Follows every way through the pattern at once. */
function run(states: readonly State[], path: string, budget: StepBudget): boolean {
  let current = new Uint8Array(states.length + 1);
  enter(states, current, 0);
  for (const character of path) {
    budget.left -= states.length + 1;
    if (budget.left < 0) throw budget.exceeded();
    const next = new Uint8Array(states.length + 1);
    for (const [index, state] of states.entries()) {
      if (current[index] === 1) step(states, next, { state, index, character });
    }
    current = next;
  }
  return current[states.length] === 1;
}

function step(
  states: readonly State[],
  next: Uint8Array,
  { state, index, character }: { readonly state: State; readonly index: number; readonly character: string },
): void {
  if (state.kind === 'one') {
    if (state.fits(character)) enter(states, next, index + 1);
  } else if (state.kind === 'rest') enter(states, next, index);
  else if (state.kind === 'names') {
    if (character !== '/') enter(states, next, index);
  } else if (state.kind === 'inside-directories') {
    next[index] = 1;
    if (character === '/') enter(states, next, index + 1);
  }
}

/** Marks a state and those that are reached from it for nothing. */
function enter(states: readonly State[], marks: Uint8Array, index: number): void {
  if (marks[index] === 1) return;
  marks[index] = 1;
  const kind = states[index]?.kind;
  if (kind === 'names' || kind === 'rest') enter(states, marks, index + 1);
  else if (kind === 'directories') {
    marks[index + 1] = 1;
    enter(states, marks, index + 2);
  }
}
