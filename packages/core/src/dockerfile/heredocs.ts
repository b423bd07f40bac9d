import { invalid } from './invalid.ts';
import { shellWords } from './shell-words.ts';
import type { DockerfileHeredoc } from './types.ts';

/** The beginning of a heredoc: `<<name`, `<<-name`, `<<"name"`. */
interface Opening {
  readonly name: string;
  readonly expand: boolean;
  /** `<<-`: leading tabs do not count. */
  readonly chomp: boolean;
}

/**
 * Reads the bodies of the heredocs that a command line opens, in order, from the lines after it.
 *
 * @returns the heredocs, and the number of the line after the last one
 * @see BuildKit, `frontend/dockerfile/parser`, `heredocsFromLine`
 */
export function readHeredocs(
  command: { readonly text: string; readonly startLine: number },
  lines: readonly string[],
  start: number,
): { readonly read: readonly DockerfileHeredoc[]; readonly next: number } {
  const read: DockerfileHeredoc[] = [];
  let next = start;
  // A line that the lexer cannot read opens nothing: what follows it are instructions.
  for (const word of shellWords(command.text, { keepQuotes: true, keepEscapes: true }) ?? []) {
    const opening = openingOf(word, command.startLine);
    if (opening === undefined) continue;
    const { name, expand, chomp } = opening;
    const content: string[] = [];
    for (;;) {
      const line = lines[next];
      if (line === undefined)
        throw invalid(`heredoc ${JSON.stringify(name)} does not end`, command.startLine);
      next += 1;
      const compared = chomp ? line.replace(/^\t+/, '') : line;
      if (compared === name) break;
      content.push(`${compared}\n`);
    }
    read.push({ name, expand, content: content.join('') });
  }
  return { read, next };
}

/** Tells whether a word opens a heredoc. @throws CoreError `INVALID_DOCKERFILE` for a name that cannot be read */
export function openingOf(word: string, line: number): Opening | undefined {
  const [start] = /^\d*<<-?/.exec(word) ?? [];
  if (start === undefined) return undefined;
  const rest = word.slice(start.length).replace(/^[\t\n\f\r ]+/, '');
  if (rest === '' || rest.includes('<')) return undefined;
  const plain = shellWords(rest, {});
  if (plain === undefined) throw invalid('a heredoc name that cannot be read', line);
  const [name] = plain;
  if (name === undefined || plain.length !== 1) return undefined;
  const [raw] = shellWords(rest, { keepQuotes: true }) ?? [];
  return { name, expand: quotes(name) === quotes(raw ?? ''), chomp: start.endsWith('-') };
}

function quotes(text: string): number {
  return text.replace(/[^"']+/g, '').length;
}
