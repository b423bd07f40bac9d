import { invalid } from './invalid.ts';
import type { DockerfileFlag, DockerfileHeredoc, DockerfileInstruction } from './types.ts';
import { splitWords } from './words.ts';

const MAX_INSTRUCTIONS = 20_000;

const KEYWORDS: ReadonlySet<string> = new Set([
  ...[
    'ADD',
    'ARG',
    'CMD',
    'COPY',
    'ENTRYPOINT',
    'ENV',
    'EXPOSE',
    'FROM',
    'HEALTHCHECK',
    'LABEL',
    'MAINTAINER',
  ],
  ...['ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'],
]);
const HEREDOC_KEYWORDS: ReadonlySet<string> = new Set(['RUN', 'COPY', 'ADD']);
const FLAG_KEYWORDS: ReadonlySet<string> = new Set(['ADD', 'COPY', 'FROM', 'HEALTHCHECK', 'RUN', 'ONBUILD']);

/**
 * Reads the instructions, line by line as BuildKit does.
 *
 * @see BuildKit, `frontend/dockerfile/parser`, `Parse`
 */
export function readInstructions(
  text: string,
  escapeCharacter: '\\' | '`',
): readonly DockerfileInstruction[] {
  const lines = text.split('\n').map((line) => line.replace(/\r+$/, ''));
  const instructions: DockerfileInstruction[] = [];
  let next = 0;
  while (next < lines.length) {
    const start = next;
    const command = joinLines(lines, start, escapeCharacter);
    next = command.next;
    if (command.text.trim() === '') continue;
    const instruction = readInstruction(command.text, start + 1, escapeCharacter);
    const heredocs = readHeredocs(instruction, lines, next);
    next = heredocs.next;
    if (instructions.length >= MAX_INSTRUCTIONS)
      throw invalid(`it has more than ${MAX_INSTRUCTIONS} instructions`, start + 1);
    instructions.push({ ...instruction, heredocs: heredocs.read, endLine: next });
  }
  return instructions;
}

type Command = Omit<DockerfileInstruction, 'heredocs' | 'endLine'>;

function readInstruction(text: string, startLine: number, escapeCharacter: '\\' | '`'): Command {
  const [word = ''] = /^\S+/.exec(text.trimStart()) ?? [];
  const keyword = word.toUpperCase();
  if (!KEYWORDS.has(keyword))
    throw invalid(`unknown instruction ${JSON.stringify(keyword.slice(0, 40))}`, startLine);
  const body = text.trimStart().slice(word.length).trim();
  const { flags, rest } = FLAG_KEYWORDS.has(keyword) ? readFlags(body) : { flags: [], rest: body };
  const instruction = { keyword, flags, arguments: rest.trim(), startLine };
  refuseIncomplete(instruction, escapeCharacter);
  return instruction;
}

/** What BuildKit's own parser refuses in instructions whose arguments are otherwise not read here. */
function refuseIncomplete(
  { keyword, arguments: text, startLine }: Command,
  escapeCharacter: '\\' | '`',
): void {
  if (text === '') throw invalid(`${keyword} without arguments`, startLine);
  if (keyword === 'SHELL' && !isJsonList(text)) throw invalid('SHELL takes a JSON list', startLine);
  if (keyword !== 'ENV' && keyword !== 'LABEL') return;
  const [first = '', ...others] = splitWords(text, escapeCharacter);
  if (first.includes('=')) {
    const stray = others.find((word) => !word.includes('='));
    if (stray !== undefined)
      throw invalid(`${keyword} ${JSON.stringify(stray.slice(0, 40))} has no =`, startLine);
  } else if (!/\s/.test(text)) throw invalid(`${keyword} ${first.slice(0, 40)} has no value`, startLine);
}

/**
 * Joins continued lines from `start`; comment and blank lines inside a continuation do not count. An escape character that
 * is itself escaped (`C:\\\\`) ends the instruction.
 */
function joinLines(
  lines: readonly string[],
  start: number,
  escapeCharacter: '\\' | '`',
): { readonly text: string; readonly next: number } {
  const parts: string[] = [];
  let next = start;
  while (next < lines.length) {
    const line = lines[next] ?? '';
    next += 1;
    const isComment = line.trimStart().startsWith('#');
    if (next - 1 > start && (isComment || line.trim() === '')) continue;
    if (isComment) break;
    const trimmed = line.replace(/(?<![ \t])[ \t]+$/, '');
    const continued = trimmed.endsWith(escapeCharacter) && trimmed.at(-2) !== escapeCharacter;
    parts.push(continued ? trimmed.slice(0, -1) : line);
    if (!continued) break;
  }
  return { text: parts.join(''), next };
}

/** Leading `--name=value` words. @see BuildKit, `extractBuilderFlags` */
function readFlags(body: string): { readonly flags: readonly DockerfileFlag[]; readonly rest: string } {
  const flags: DockerfileFlag[] = [];
  let rest = body.trimStart();
  while (rest.startsWith('--')) {
    const { word, length } = readWord(rest);
    rest = rest.slice(length).trimStart();
    if (word === '--') break;
    const equals = word.indexOf('=');
    flags.push(
      equals < 0
        ? { name: word.slice(2), value: '' }
        : { name: word.slice(2, equals), value: word.slice(equals + 1) },
    );
  }
  return { flags, rest };
}

/** The first blank-separated word; quotes group and are removed. */
function readWord(text: string): { readonly word: string; readonly length: number } {
  let word = '';
  let quote: string | undefined;
  let index = 0;
  for (; index < text.length; index += 1) {
    const character = text[index] ?? '';
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word += character;
    } else if (character === '"' || character === "'") quote = character;
    else if (/\s/.test(character)) break;
    else word += character;
  }
  return { word, length: index };
}

/** Heredocs named in the command line, in order, and the lines from `start` that belong to each. */
function readHeredocs(
  instruction: Command,
  lines: readonly string[],
  start: number,
): { readonly read: readonly DockerfileHeredoc[]; readonly next: number } {
  const read: DockerfileHeredoc[] = [];
  let next = start;
  for (const { name, expand, chomp } of heredocWords(instruction)) {
    const content: string[] = [];
    for (;;) {
      const line = lines[next];
      if (line === undefined)
        throw invalid(`heredoc ${JSON.stringify(name)} does not end`, instruction.startLine);
      next += 1;
      const compared = chomp ? line.replace(/^\t+/, '') : line;
      if (compared === name) break;
      content.push(`${compared}\n`);
    }
    read.push({ name, expand, content: content.join('') });
  }
  return { read, next };
}

/** The words `<<name`, `<<-name` and `<<"name"`. The exec form has none. */
function* heredocWords({
  keyword,
  arguments: text,
}: Command): Iterable<{ readonly name: string; readonly expand: boolean; readonly chomp: boolean }> {
  if (!text.includes('<<')) return;
  const inner = keyword === 'ONBUILD' ? /^(\S+)\s+(?:--\S+\s+)*(.*)$/s.exec(text) : [text, keyword, text];
  if (inner === null || !HEREDOC_KEYWORDS.has((inner[1] ?? '').toUpperCase())) return;
  if (isJsonList(inner[2] ?? '')) return;
  for (const word of splitWords((inner[2] ?? '').replaceAll(/<<(-?)[ \t]+/g, '<<$1'))) {
    const match = /^\d*<<(-?)([^<]+)$/.exec(word);
    const quoted = match?.[2] ?? '';
    const name = quoted.replaceAll(/["']/g, '');
    if (name !== '') yield { name, expand: name === quoted, chomp: match?.[1] === '-' };
  }
}

function isJsonList(text: string): boolean {
  if (!text.startsWith('[')) return false;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string');
  } catch {
    return false;
  }
}
