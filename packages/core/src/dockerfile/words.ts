/** What Go's `unicode.IsSpace` holds for a blank, which differs from JavaScript's `\s` in U+0085 and U+FEFF. */
const BLANK = '[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const SPACE = new RegExp(BLANK);
const LEADING = new RegExp(`^${BLANK}+`);
const TRAILING = new RegExp(`(?<!${BLANK})${BLANK}+$`);

/** Tells a blank character. */
export function isSpace(character: string): boolean {
  return SPACE.test(character);
}

/** Without blanks in front. */
export function trimStart(text: string): string {
  return text.replace(LEADING, '');
}

/** Without blanks in front and behind. */
export function trim(text: string): string {
  return trimStart(text).replace(TRAILING, '');
}

/** Without the byte order mark that Go's scanner passes over at the start of whatever it reads. */
export function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

/** Words of `FROM`, `EXPOSE`, and of `COPY` without a list: separated by ASCII blanks, whatever is quoted. */
export function splitBlanks(text: string, limit?: 2): readonly string[] {
  if (limit === undefined) return text.split(/[\t\v\f\r ]+/);
  const blank = /[\t\v\f\r ]+/.exec(text);
  return blank === null ? [text] : [text.slice(0, blank.index), text.slice(blank.index + blank[0].length)];
}

/**
 * Blank-separated words; quotes group and stay. An escaped blank or quote is part of its word, except that nothing is escaped
 * within single quotes.
 *
 * @see BuildKit, `frontend/dockerfile/parser`, `parseWords`
 */
export function splitWords(text: string, escapeCharacter?: '\\' | '`'): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote: string | undefined;
  let escaped = false;
  for (const character of text) {
    if (escaped) escaped = false;
    else if (character === escapeCharacter && quote !== "'") escaped = true;
    else if (quote !== undefined) {
      if (character === quote) quote = undefined;
    } else if (character === '"' || character === "'") quote = character;
    else if (isSpace(character)) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    word += character;
  }
  return word === '' ? words : [...words, word];
}
