import type { DockerfileFlag } from './types.ts';

/**
 * Reads the leading `--name=value` words of an instruction; `--` alone ends them. Quotes group and are removed, an escape
 * character makes the next one plain.
 *
 * @returns the flags, and the text after them
 * @see BuildKit, `frontend/dockerfile/parser`, `extractBuilderFlags`
 */
export function readFlags(
  body: string,
  escapeCharacter: '\\' | '`',
): { readonly flags: readonly DockerfileFlag[]; readonly rest: string } {
  const flags: DockerfileFlag[] = [];
  // BuildKit reads bytes here, so that the bytes 85 and A0 end a word within a longer character too.
  const bytes = Buffer.from(body, 'utf8').toString('latin1');
  let position = skipBlanks(bytes, 0);
  while (bytes.startsWith('--', position)) {
    const { word, end, quoted } = readWord(bytes, position, escapeCharacter);
    position = end;
    if (word === '--') break;
    if (word !== '' || quoted) flags.push(toFlag(Buffer.from(word, 'latin1').toString('utf8')));
    position = skipBlanks(bytes, position);
  }
  return { flags, rest: Buffer.from(bytes.slice(position), 'latin1').toString('utf8') };
}

function toFlag(word: string): DockerfileFlag {
  const equals = word.indexOf('=');
  return equals < 0
    ? { name: word.slice(2), value: '', bare: true }
    : { name: word.slice(2, equals), value: word.slice(equals + 1) };
}

function readWord(
  text: string,
  start: number,
  escapeCharacter: string,
): { readonly word: string; readonly end: number; readonly quoted: boolean } {
  let word = '';
  let quote: string | undefined;
  let quoted = false;
  let position = start;
  for (; position < text.length; position += 1) {
    const character = text[position] ?? '';
    if (character === quote) quote = undefined;
    else if (character === escapeCharacter) {
      position += 1;
      word += text[position] ?? '';
    } else if (quote !== undefined) word += character;
    else if (character === '"' || character === "'") {
      quote = character;
      quoted = true;
    } else if (isBlank(character)) break;
    else word += character;
  }
  return { word, end: Math.min(position, text.length), quoted };
}

function skipBlanks(text: string, start: number): number {
  let position = start;
  while (position < text.length && isBlank(text[position] ?? '')) position += 1;
  return position;
}

function isBlank(character: string): boolean {
  return /[\t-\r \u0085\u00a0]/.test(character);
}
