import type { DifferenceOrigin } from '../compare/types.ts';

/** `line 7, RUN` or `from the base image`; undefined when neither is known. */
export function placeOf({ instruction, inherited }: Partial<DifferenceOrigin> = {}): string | undefined {
  if (instruction !== undefined) {
    const { line, keyword, trigger } = instruction;
    return trigger === true ? `ONBUILD ${keyword} at line ${line}` : `line ${line}, ${keyword}`;
  }
  return inherited === true ? 'from the base image' : undefined;
}
