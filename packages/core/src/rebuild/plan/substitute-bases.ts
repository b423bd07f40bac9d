import { formatReference, ImagevetError, parseReference, withDefaultTag } from '@imagevet/registry';
import { type ParseDockerfileOptions, parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { BaseName, Dockerfile } from '../../dockerfile/types.ts';

/** A piece of the text to replace. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * Replaces the images a Dockerfile is built on, copies from or is read by, in every form (`FROM`, ARG-fed `FROM`,
 * `COPY --from=`, `RUN --mount=from=`, `# syntax=`), and no other byte.
 *
 * @param substitutions - what to write, by the canonical reference the Dockerfile resolves to
 * @throws {@link CoreError} `INVALID_DOCKERFILE`
 */
export function substituteBases(
  text: string,
  substitutions: ReadonlyMap<string, string>,
  options: ParseDockerfileOptions = {},
): string {
  const dockerfile = parseDockerfile(text, options);
  // The parser drops a byte order mark; positions are those of the text without it.
  const mark = text.length - dockerfile.text.length;
  const edits = findEdits(dockerfile, substitutions).sort((left, right) => left.start - right.start);
  let result = text.slice(0, mark);
  let position = 0;
  for (const edit of edits) {
    result += dockerfile.text.slice(position, edit.start) + edit.text;
    position = edit.end;
  }
  return result + dockerfile.text.slice(position);
}

function findEdits(dockerfile: Dockerfile, substitutions: ReadonlyMap<string, string>): Edit[] {
  const lineStarts = startsOfLines(dockerfile.text);
  const edits: Edit[] = [];
  const substituteOf = (name: BaseName) =>
    name.kind === 'image' ? substitutions.get(formatReference(name.reference)) : undefined;
  for (const stage of dockerfile.stages) {
    const base = substituteOf(stage.base);
    const words = wordsFrom(dockerfile, lineStarts[stage.startLine - 1] ?? 0);
    const from = words.find((word, index) => index > 0 && !word.text.startsWith('--'));
    if (base !== undefined && from !== undefined) edits.push({ ...from, text: base });
    for (const input of stage.inputs) {
      const text = substituteOf(input.name);
      if (text === undefined) continue;
      for (const word of wordsFrom(dockerfile, lineStarts[input.startLine - 1] ?? 0)) {
        const place = placeOf(word, input.name.text);
        if (place !== undefined) edits.push({ ...place, text });
      }
    }
  }
  const syntax = syntaxEdit(dockerfile, lineStarts, substitutions);
  if (syntax !== undefined) edits.push(syntax);
  return [...new Map(edits.map((edit) => [edit.start, edit])).values()];
}

function syntaxEdit(
  { text, syntax }: Dockerfile,
  lineStarts: readonly number[],
  substitutions: ReadonlyMap<string, string>,
): Edit | undefined {
  if (syntax === undefined || syntax.text === '') return undefined;
  try {
    const substitute = substitutions.get(formatReference(withDefaultTag(parseReference(syntax.text))));
    const line = lineStarts[syntax.line - 1] ?? 0;
    const start = text.indexOf(syntax.text, text.indexOf('=', line));
    return substitute === undefined
      ? undefined
      : { start, end: start + syntax.text.length, text: substitute };
  } catch (error) {
    // Not the name of an image, so not one to replace.
    if (ImagevetError.is(error)) return undefined;
    throw error;
  }
}

/** Where a `--from=` or `--mount=` word names the image. */
function placeOf(
  word: { readonly start: number; readonly text: string },
  name: string,
): { readonly start: number; readonly end: number } | undefined {
  const match = /^--(?:from=|mount=["']?(?:[^,]*,)*?\s*from=)/i.exec(word.text);
  if (match === null) return undefined;
  const rest = word.text.slice(match[0].length);
  const quote = /^["']/.exec(rest)?.[0] ?? '';
  const end = rest.slice(quote.length + name.length)[0];
  // Not the beginning of a longer name.
  const ends = end === undefined || end === ',' || end === quote || (quote === '' && /["'\s]/.test(end));
  if (!rest.slice(quote.length).startsWith(name) || !ends) return undefined;
  const start = word.start + match[0].length + quote.length;
  return { start, end: start + name.length };
}

/**
 * The instruction's first words with their positions: its keyword, its flags, and one more. Continuations and the comments
 * between them are passed over.
 */
function wordsFrom(
  dockerfile: Dockerfile,
  offset: number,
): readonly { readonly start: number; readonly end: number; readonly text: string }[] {
  const { text, escape: escapeCharacter } = dockerfile;
  const words: { start: number; end: number; text: string }[] = [];
  let position = offset;
  while (position < text.length) {
    position = skipBlanks(text, position, escapeCharacter);
    const start = position;
    let quote: string | undefined;
    while (position < text.length) {
      const character = text[position] ?? '';
      if (quote === undefined && (/\s/.test(character) || isContinuation(text, position, escapeCharacter)))
        break;
      if (character === quote) quote = undefined;
      else if (quote === undefined && (character === '"' || character === "'")) quote = character;
      if (character === '\n') break;
      position += 1;
    }
    if (position === start) break;
    words.push({ start, end: position, text: text.slice(start, position) });
    if (words.length > 1 && words.at(-1)?.text.startsWith('--') !== true) break;
  }
  return words;
}

function skipBlanks(text: string, from: number, escapeCharacter: string): number {
  let position = from;
  for (;;) {
    while (text[position] === ' ' || text[position] === '\t') position += 1;
    if (!isContinuation(text, position, escapeCharacter)) return position;
    position = text.indexOf('\n', position) + 1;
    // Comment and blank lines inside a continuation do not count.
    for (let line = /^[ \t]*(?:#.*)?\r?\n/.exec(text.slice(position, position + 4096)); line !== null; ) {
      position += line[0].length;
      line = /^[ \t]*(?:#.*)?\r?\n/.exec(text.slice(position, position + 4096));
    }
  }
}

function isContinuation(text: string, position: number, escapeCharacter: string): boolean {
  return text[position] === escapeCharacter && /^[ \t]*\r?\n/.test(text.slice(position + 1, position + 128));
}

function startsOfLines(text: string): readonly number[] {
  const starts = [0];
  for (let index = text.indexOf('\n'); index >= 0; index = text.indexOf('\n', index + 1))
    starts.push(index + 1);
  return starts;
}
