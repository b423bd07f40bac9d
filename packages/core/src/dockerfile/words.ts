/** Blank-separated words; quotes group and stay. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote: string | undefined;
  for (const character of text) {
    if (quote !== undefined) {
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
