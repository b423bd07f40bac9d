import { posix } from 'node:path';
import { CoreError } from '../../errors.ts';
import { type PathPattern, parsePattern, type StepBudget } from './path-pattern.ts';

/** Rules of one file. */
const MAX_RULES = 10_000;
/** Steps of matching for one context: some seconds. */
const MAX_STEPS = 300_000_000;

interface Rule extends PathPattern {
  readonly text: string;
  readonly exception: boolean;
}

/** Tells which paths of a context are left out. Made by {@link parseDockerignore}. */
export interface Dockerignore {
  ignores(path: string): boolean;
}

/**
 * Reads a `.dockerignore`. It decides as Docker does: the last rule that fits a path, or a directory above it, wins; and what is
 * in a directory that is left out comes back only by an exception whose text begins with that directory.
 *
 * @throws {@link CoreError} `SOURCE_INVALID` for what docker refuses; matching throws `SOURCE_LIMIT_EXCEEDED` when rules and
 * paths together take too long
 * @see https://github.com/moby/patternmatcher
 */
export function parseDockerignore(text: string): Dockerignore {
  const rules = text
    .replace(/^\ufeff/, '')
    .split('\n')
    .flatMap((line, index) => parseRule(line, index + 1));
  if (rules.length > MAX_RULES) {
    throw new CoreError('SOURCE_LIMIT_EXCEEDED', `.dockerignore has more than ${MAX_RULES} rules`);
  }
  const budget: StepBudget = {
    left: MAX_STEPS,
    exceeded: () =>
      new CoreError('SOURCE_LIMIT_EXCEEDED', '.dockerignore takes too long to be applied', {
        hint: 'It was made to, or the context has far too many files for its rules.',
      }),
  };
  const exceptions = rules.filter(({ exception }) => exception).map((rule) => `${rule.text}/`);
  const directories = new Map<string, boolean>();
  const isLost = (directory: string): boolean => {
    const known = directories.get(directory);
    if (known !== undefined) return known;
    const above = posix.dirname(directory);
    const lost =
      (above !== '.' && isLost(above)) ||
      (isExcluded(rules, directory, budget) && !exceptions.some((rule) => rule.startsWith(`${directory}/`)));
    directories.set(directory, lost);
    return lost;
  };
  return {
    ignores: (path) => {
      const directory = posix.dirname(path);
      return (directory !== '.' && isLost(directory)) || isExcluded(rules, path, budget);
    },
  };
}

function parseRule(line: string, number: number): readonly Rule[] {
  if (line.startsWith('#')) return [];
  const trimmed = line.trim();
  if (trimmed === '') return [];
  const exception = trimmed.startsWith('!');
  const rest = exception ? trimmed.slice(1).trim() : trimmed;
  const invalid = (reason: string) =>
    new CoreError('SOURCE_INVALID', `.dockerignore line ${number}: ${reason}`, {
      hint: 'Docker refuses it too.',
      details: { line: number },
    });
  if (rest === '') throw invalid('an exception from nothing');
  const clean = posix.normalize(rest).replace(/(?<=.)\/$/, '');
  const text = clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean;
  const pattern = parsePattern(text);
  if (pattern === undefined) throw invalid(`${JSON.stringify(text.slice(0, 200))} is no pattern`);
  return [{ ...pattern, text, exception }];
}

/** The last rule that fits the path or a directory above it decides. */
function isExcluded(rules: readonly Rule[], path: string, budget: StepBudget): boolean {
  const paths = [path];
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
    paths.push(path.slice(0, at));
  for (let index = rules.length - 1; index >= 0; index -= 1) {
    const rule = rules[index]!;
    if (paths.some((each) => rule.matches(each, budget))) return !rule.exception;
  }
  return false;
}
