import { DockerfileParser, type Instruction } from 'dockerfile-ast';
import { invalid } from './invalid.ts';
import type { DockerfileFlag, DockerfileHeredoc, DockerfileInstruction } from './types.ts';

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
const HEREDOC_KEYWORDS: ReadonlySet<string> = new Set(['RUN', 'COPY', 'ADD', 'ONBUILD']);
const FLAG_KEYWORDS: ReadonlySet<string> = new Set(['ADD', 'COPY', 'FROM', 'HEALTHCHECK', 'RUN', 'ONBUILD']);

/**
 * Reads the instructions. The syntax tree gives their ranges; flags, arguments and heredocs are read from the text,
 * because the tree's own answers are wrong for several flags and for continued lines with comments.
 */
export function readInstructions(
  text: string,
  escapeCharacter: '\\' | '`',
): readonly DockerfileInstruction[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  const nodes = DockerfileParser.parse(lines.join('\n')).getInstructions();
  if (nodes.length > MAX_INSTRUCTIONS) throw invalid(`it has more than ${MAX_INSTRUCTIONS} instructions`, 1);
  return nodes.map((node) => readInstruction(node, lines, escapeCharacter));
}

function readInstruction(
  node: Instruction,
  lines: readonly string[],
  escapeCharacter: '\\' | '`',
): DockerfileInstruction {
  const range = node.getRange();
  const startLine = range.start.line + 1;
  const endLine = range.end.line + 1;
  const keyword = node.getKeyword().toUpperCase();
  if (!KEYWORDS.has(keyword))
    throw invalid(`unknown instruction ${JSON.stringify(keyword.slice(0, 40))}`, startLine);
  const own = lines.slice(range.start.line, range.end.line + 1);
  const { command, used } = joinLines(own, escapeCharacter);
  const body = command.replace(/^\s*\S+\s*/, '');
  const heredocs = HEREDOC_KEYWORDS.has(keyword) ? readHeredocs(body, own.slice(used)) : [];
  const { flags, rest } = FLAG_KEYWORDS.has(keyword) ? readFlags(body) : { flags: [], rest: body };
  return { keyword, flags, arguments: rest.trim(), heredocs, startLine, endLine };
}

/** Joins continued lines; comment and blank lines inside a continuation do not count. */
function joinLines(
  lines: readonly string[],
  escapeCharacter: '\\' | '`',
): { readonly command: string; readonly used: number } {
  const parts: string[] = [];
  let used = 0;
  for (const line of lines) {
    used += 1;
    const continued = parts.length > 0;
    if (continued && (/^\s*#/.test(line) || line.trim() === '')) continue;
    const trimmed = line.trimEnd();
    if (!trimmed.endsWith(escapeCharacter)) {
      parts.push(line);
      break;
    }
    parts.push(trimmed.slice(0, -1));
  }
  return { command: parts.join(''), used };
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

/** Heredocs named in the command line, in order, and the lines that belong to each. */
function readHeredocs(body: string, lines: readonly string[]): readonly DockerfileHeredoc[] {
  // The exec form has none.
  if (body.trimStart().startsWith('[')) return [];
  const heredocs: DockerfileHeredoc[] = [];
  let position = 0;
  for (const match of body.matchAll(/(?:^|\s)\d?<<(-?)(["']?)([A-Za-z0-9_.-]+)\2(?=\s|$|[;&|>)])/g)) {
    const [, dash, quote, name = ''] = match;
    const content: string[] = [];
    let closed = false;
    while (position < lines.length && !closed) {
      const line = lines[position] ?? '';
      position += 1;
      const compared = dash === '-' ? line.replace(/^\t+/, '') : line;
      closed = compared === name;
      if (!closed) content.push(compared);
    }
    if (!closed) break;
    heredocs.push({ name, expand: quote === '', content: content.map((line) => `${line}\n`).join('') });
  }
  return heredocs;
}
