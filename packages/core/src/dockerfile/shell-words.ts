import { nameAt } from './variable-name.ts';
import { isSpace, withoutMark } from './words.ts';

/** Options of {@link shellWords}. */
interface ShellWordsOptions {
  readonly keepQuotes?: boolean;
  readonly keepEscapes?: boolean;
}

const MAX_DEPTH = 32;

/**
 * Splits a line into shell words without expanding anything, the way BuildKit looks for heredocs: `\` escapes whatever the
 * file's escape character is, variables stay as written, and blanks after `<<` belong to its word.
 *
 * @returns undefined when the line cannot be read: an open quote, a bad substitution
 * @see BuildKit, `frontend/dockerfile/shell`, `Lex.ProcessWords` with `SkipUnsetEnv`
 */
export function shellWords(text: string, options: ShellWordsOptions): readonly string[] | undefined {
  const lexer = new Lexer(withoutMark(text), options.keepQuotes ?? false, options.keepEscapes ?? false);
  try {
    return lexer.read(undefined, options.keepEscapes ?? false, false, 0).words;
  } catch (error) {
    if (error instanceof UnreadableLine) return undefined;
    throw error;
  }
}

class UnreadableLine extends Error {}

class Lexer {
  readonly #text: string;
  readonly #keepQuotes: boolean;
  #keepEscapes: boolean;
  #position = 0;
  /** The word being collected. A modifier's word is collected in the same place and empties it, as in BuildKit. */
  #word = '';

  constructor(text: string, keepQuotes: boolean, keepEscapes: boolean) {
    this.#text = text;
    this.#keepQuotes = keepQuotes;
    this.#keepEscapes = keepEscapes;
  }

  read(
    stop: string | undefined,
    keepEscapes: boolean,
    isPattern: boolean,
    depth: number,
  ): { readonly text: string; readonly words: readonly string[] } {
    if (depth > MAX_DEPTH) throw new UnreadableLine();
    const before = this.#keepEscapes;
    this.#keepEscapes = keepEscapes;
    this.#word = '';
    const words: string[] = [];
    let inWord = false;
    let text = '';
    const add = (piece: string, splits: boolean) => {
      text += piece;
      for (const character of splits ? piece : [piece]) {
        if (!splits || !isSpace(character)) {
          this.#word += character;
          inWord = true;
        } else if (inWord && this.#word !== '') {
          words.push(this.#word);
          this.#word = '';
          inWord = false;
        }
      }
    };
    for (;;) {
      const character = this.#text[this.#position];
      if (character === undefined) {
        if (stop !== undefined) throw new UnreadableLine();
        break;
      }
      if (character === stop) {
        this.#position += 1;
        break;
      }
      if (character === "'") add(this.#single(isPattern), false);
      else if (character === '"') add(this.#double(isPattern, depth), false);
      else if (character === '$') add(this.#variable(depth), true);
      else if (character === '<') add(this.#redirection(), false);
      else if (character === '\\') {
        if (this.#keepEscapes) add('\\', false);
        const next = this.#text[this.#position + 1];
        this.#position += 2;
        if (next !== undefined) add(next, false);
      } else {
        this.#position += 1;
        add(character, true);
      }
    }
    if (this.#word !== '') words.push(this.#word);
    this.#word = '';
    this.#keepEscapes = before;
    return { text, words };
  }

  #single(isPattern: boolean): string {
    const start = this.#position + 1;
    const end = this.#text.indexOf("'", start);
    if (end < 0) throw new UnreadableLine();
    this.#position = end + 1;
    const inner = this.#text.slice(start, end);
    const text = isPattern ? inner.replaceAll('\\', '\\\\') : inner;
    return this.#keepQuotes ? `'${text}'` : text;
  }

  #double(isPattern: boolean, depth: number): string {
    let text = this.#keepQuotes ? '"' : '';
    this.#position += 1;
    for (;;) {
      const character = this.#text[this.#position];
      if (character === undefined) throw new UnreadableLine();
      if (character === '$') {
        text += this.#variable(depth);
        continue;
      }
      this.#position += 1;
      if (character === '"') return this.#keepQuotes ? `${text}"` : text;
      if (character !== '\\') {
        text += character;
        continue;
      }
      const next = this.#text[this.#position];
      if (next === undefined) continue;
      if (next === '"' || next === '$' || next === '\\') {
        text += this.#keepEscapes ? `\\${next}` : next;
        this.#position += 1;
      } else text += this.#keepEscapes && (!this.#keepQuotes || isPattern) ? '\\\\' : '\\';
    }
  }

  #variable(depth: number): string {
    this.#position += 1;
    if (this.#text[this.#position] !== '{') return `$${this.#name()}`;
    this.#position += 1;
    const first = this.#text[this.#position];
    if (first === undefined || '{}:'.includes(first)) throw new UnreadableLine();
    const name = this.#name();
    let operator = this.#text[this.#position] ?? '';
    this.#position += 1;
    if (operator === '}') return `\${${name}}`;
    if (operator === '/') {
      if (this.#text[this.#position] === '/') this.#position += 1;
      const pattern = this.read('/', true, true, depth + 1).text;
      return `\${${name}/${pattern}/${this.read('}', true, false, depth + 1).text}}`;
    }
    if (operator === '' || !':+-?#%'.includes(operator)) throw new UnreadableLine();
    if (operator === ':') {
      const kind = this.#text[this.#position] ?? '';
      this.#position += 1;
      if (kind === '#' || kind === '%') throw new UnreadableLine();
      operator += kind;
    }
    const isPattern = operator === '#' || operator === '%';
    return `\${${name}${operator}${this.read('}', isPattern, isPattern, depth + 1).text}}`;
  }

  #name(): string {
    const name = nameAt(this.#text, this.#position);
    this.#position += name.length;
    return name;
  }

  #redirection(): string {
    this.#position += 1;
    if (this.#text[this.#position] !== '<') return '<';
    const start = this.#position;
    do this.#position += 1;
    while ('\t\r '.includes(this.#text[this.#position] ?? 'x'));
    return `<${this.#text.slice(start, this.#position)}`;
  }
}
