import { visibleLine } from '../visible.ts';

/** Widest character of the fonts named in the style sheet, per pixel of font size. */
const ADVANCE = 0.62;

/** Width of a 12 px semibold label in the widest of the fonts named, so that a pill never is too short. */
export function labelWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += 'iljtf.,: '.includes(character) ? 5 : 'mwMW'.includes(character) ? 12.5 : 8.3;
  return Math.ceil(width);
}

/** Breaks a name into lines that fit, after a separator where there is one; the last one is cut. */
export function fit(text: string, width: number, fontSize: number, most = 1): readonly string[] {
  const room = Math.max(4, Math.floor(width / (fontSize * ADVANCE)));
  const lines: string[] = [];
  let rest = Array.from(visibleLine(text));
  while (rest.length > room && lines.length < most - 1) {
    const head = rest.slice(0, room);
    const cut = head.findLastIndex((character) => '/:@-_. '.includes(character)) + 1;
    const taken = cut > room / 3 ? cut : room;
    lines.push(rest.slice(0, taken).join(''));
    rest = rest.slice(taken);
  }
  lines.push(rest.length > room ? `${rest.slice(0, room - 1).join('')}…` : rest.join(''));
  return lines;
}
