// Everything without a shape of its own but tab and line feed: controls, bidi marks, zero-width, fillers, tags.
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Makes text from elsewhere safe to look at: every character that would move the cursor, reorder or hide its
 * neighbours is written out as `\u{202e}`. Line feeds and tabs stay.
 */
export function visible(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n/g, '\n')
    .replace(HIDDEN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** {@link visible} on one line. */
export function visibleLine(text: string): string {
  return visible(text)
    .replace(/[\n\t]+/g, ' ')
    .trim();
}
