const NAME = /[\p{L}_][\p{L}\p{Nd}_]*|\p{Nd}+|[@*#?$!-]/uy;

/** The name of the variable that starts at a position: letters, a number, or one special character. Empty when none does. */
export function nameAt(text: string, position: number): string {
  NAME.lastIndex = position;
  return NAME.exec(text)?.[0] ?? '';
}
