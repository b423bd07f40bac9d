import { readFlags } from './flags.ts';
import { readHeredocs } from './heredocs.ts';
import { invalid } from './invalid.ts';
import { isJsonList, refuseMalformed } from './malformed.ts';
import type { DockerfileInstruction } from './types.ts';
import { splitBlanks, trim, trimStart } from './words.ts';

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

/**
 * Reads the instructions, line by line as BuildKit does.
 *
 * @see BuildKit, `frontend/dockerfile/parser`, `Parse`
 */
export function readInstructions(
  text: string,
  escapeCharacter: '\\' | '`',
): readonly DockerfileInstruction[] {
  const lines = text.split('\n').map((line) => line.replace(/(?<!\r)\r+$/, ''));
  if (lines.at(-1) === '') lines.pop();
  const instructions: DockerfileInstruction[] = [];
  let next = 0;
  while (next < lines.length) {
    const start = next;
    const command = joinLines(lines, start, escapeCharacter);
    next = command.next;
    if (command.text === undefined) continue;
    const instruction = readInstruction(command.text, start + 1, escapeCharacter);
    const heredocs = opensHeredocs(instruction, escapeCharacter)
      ? readHeredocs({ text: command.text, startLine: start + 1 }, lines, next)
      : { read: [], next };
    next = heredocs.next;
    if (instructions.length >= MAX_INSTRUCTIONS)
      throw invalid(`it has more than ${MAX_INSTRUCTIONS} instructions`, start + 1);
    instructions.push({ ...instruction, heredocs: heredocs.read, endLine: next });
  }
  return instructions;
}

type Command = Omit<DockerfileInstruction, 'heredocs' | 'endLine'>;

function readInstruction(text: string, startLine: number, escapeCharacter: '\\' | '`'): Command {
  const command = readCommand(text, escapeCharacter);
  if (!KEYWORDS.has(command.keyword)) {
    throw /^(?:\{\{|\{%|<%|%%)/.test(command.keyword)
      ? invalid('it is a template, not a Dockerfile', startLine)
      : invalid(`unknown instruction ${JSON.stringify(command.keyword.slice(0, 40))}`, startLine);
  }
  const instruction = { ...command, startLine };
  refuseMalformed(instruction, escapeCharacter);
  return instruction;
}

function readCommand(text: string, escapeCharacter: '\\' | '`'): Omit<Command, 'startLine'> {
  const [word = '', body = ''] = splitBlanks(trim(text), 2);
  const { flags, rest } = readFlags(body, escapeCharacter);
  return { keyword: word.toUpperCase(), flags, arguments: trim(rest) };
}

/** Heredocs belong to RUN, COPY and ADD, and to an ONBUILD of those; the list form has none. */
function opensHeredocs({ keyword, arguments: text }: Command, escapeCharacter: '\\' | '`'): boolean {
  if (!text.includes('<<')) return false;
  const command = keyword === 'ONBUILD' ? readCommand(text, escapeCharacter) : { keyword, arguments: text };
  return HEREDOC_KEYWORDS.has(command.keyword) && !isJsonList(command.arguments);
}

/**
 * Joins continued lines from `start`; comment and blank lines inside a continuation do not count. An escape character that
 * is itself escaped (`C:\\\\`) ends the instruction.
 *
 * @returns no text for a blank line and for a comment
 */
function joinLines(
  lines: readonly string[],
  start: number,
  escapeCharacter: '\\' | '`',
): { readonly text?: string; readonly next: number } {
  const first = trimStart(lines[start] ?? '');
  if (first === '' || first.startsWith('#')) return { next: start + 1 };
  const parts: string[] = [];
  let next = start;
  while (next < lines.length) {
    const line = lines[next] ?? '';
    const unindented = trimStart(line);
    next += 1;
    if (unindented === '' || unindented.startsWith('#')) continue;
    const trimmed = line.replace(/(?<![ \t])[ \t]+$/, '');
    const continued = trimmed.endsWith(escapeCharacter) && trimmed.at(-2) !== escapeCharacter;
    parts.push(continued ? trimmed.slice(0, -1) : line);
    if (!continued) break;
  }
  return { text: parts.join(''), next };
}
