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
    else if (/\s/.test(character)) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    word += character;
  }
  return word === '' ? words : [...words, word];
}
