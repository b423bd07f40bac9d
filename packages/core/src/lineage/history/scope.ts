import type { ExecutionConfig } from '@imagevet/registry';
import { expand } from '../../dockerfile/expand.ts';
import { splitWords } from '../../dockerfile/words.ts';

/** Stands for a value that is not known. No text read from bytes holds a lone surrogate. */
export const HOLE = '\ud800';

/** Characters expanded for one Dockerfile; values that refer to one another double, and are not known beyond it. */
const MAX_EXPANDED = 16 * 1024 * 1024;

/** What is known of the image an instruction starts from: variables, shell, working directory. */
export class Scope {
  readonly escape: '\\' | '`';
  /** ENV of this build and its base. */
  readonly #environment = new Map<string, string>();
  /** Whether the base's own environment is known. */
  readonly #closed: boolean;
  #args = new Set<string>();
  #expanded = 0;
  /** What RUN and the shell forms begin with; undefined when it is the base's and the base is not known. */
  shell: string | undefined;
  /** Absolute, or undefined when it is the base's and the base is not known. */
  directory: string | undefined;

  constructor(escapeCharacter: '\\' | '`', base: ExecutionConfig | undefined) {
    this.escape = escapeCharacter;
    this.#closed = base !== undefined;
    for (const pair of base?.Env ?? []) {
      const equals = pair.indexOf('=');
      if (equals > 0) this.#environment.set(pair.slice(0, equals), pair.slice(equals + 1).toWellFormed());
    }
    const shell = base?.Shell ?? undefined;
    if (shell !== undefined && shell.length > 0) this.shell = shell.join(' ');
    if (base !== undefined) this.directory = base.WorkingDir === undefined ? '/' : base.WorkingDir || '/';
  }

  /** Begins another stage on this one: ARGs end with their stage. */
  startStage(): void {
    this.#args = new Set();
  }

  declare(name: string): void {
    this.#args.add(name);
  }

  assign(name: string, value: string): void {
    this.#environment.set(name, value);
  }

  /** The words of ENV, LABEL and ARG, expanded: `[name, value]`, without a value where there is none. */
  pairs(text: string): readonly (readonly [name: string, value?: string])[] {
    return splitWords(text.toWellFormed(), this.escape).map((word) => {
      const equals = word.indexOf('=');
      return equals < 0
        ? [this.expand(word)]
        : [this.expand(word.slice(0, equals)), this.expand(word.slice(equals + 1))];
    });
  }

  /** Expands a word; values that cannot be known become holes. */
  expand(word: string): string {
    const text = word.toWellFormed();
    const variables: Record<string, string> = {};
    for (const [, braced, operator = '', plain = ''] of text.matchAll(VARIABLE)) {
      const name = braced ?? plain;
      const value = this.#value(name);
      // A default or a pattern may or may not apply to a value that is not known; patterns are not worth their time.
      if (operator !== '' && (value.includes(HOLE) || '#%/'.includes(operator))) return HOLE;
      variables[name] = value;
    }
    const { value, problem } = expand(text, variables, this.escape);
    this.#expanded += value.length;
    return problem === undefined && this.#expanded <= MAX_EXPANDED ? value : HOLE;
  }

  #value(name: string): string {
    const value = this.#environment.get(name);
    if (value !== undefined) return value;
    // BuildKit gives an empty image a PATH; proxies may be given to a build without being declared.
    const known = this.#closed && !this.#args.has(name) && name !== 'PATH' && !/proxy$/i.test(name);
    return known ? '' : HOLE;
  }
}

const VARIABLE = /\$(?:\{([A-Za-z_]\w*)([^}]?)|([A-Za-z_]\w*))/g;

/**
 * Tells whether a recorded text can be an expected one. Blanks count once, since builders have joined lines in different ways;
 * what stands between the first and the last hole is not compared.
 */
export function fits(expected: string, recorded: string): boolean {
  const [wanted, seen] = [collapse(expected), collapse(recorded)];
  const first = wanted.indexOf(HOLE);
  if (first < 0) return wanted === seen;
  const start = wanted.slice(0, first).trimEnd();
  const end = wanted.slice(wanted.lastIndexOf(HOLE) + 1).trimStart();
  return seen.length >= start.length + end.length && seen.startsWith(start) && seen.endsWith(end);
}

/** As {@link fits}, quotes and escapes aside: builders of old have kept them. */
export function fitsUnquoted(expected: string, recorded: string): boolean {
  const bare = (text: string) => text.replaceAll(/["'\\]/g, '');
  return fits(bare(expected), bare(recorded));
}

export function collapse(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

/** Shown in place of what is not known. */
export function shown(expected: string): string {
  return collapse(expected.replaceAll(HOLE, '…'));
}

export function isUnknown(value: string): boolean {
  return value.includes(HOLE);
}
