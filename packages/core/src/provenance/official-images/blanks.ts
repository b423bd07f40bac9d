/** Unicode's white space, as bashbrew has it: with U+0085, and without U+FEFF, which `trim` removes. */
const BLANK = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** Removes blanks on both sides, in linear time. */
export function trimBlanks(text: string): string {
  const end = trimEndBlanks(text);
  let start = 0;
  while (start < end.length && BLANK.test(end[start]!)) start += 1;
  return end.slice(start);
}

/** Removes blanks at the end, in linear time. */
export function trimEndBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && BLANK.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}
