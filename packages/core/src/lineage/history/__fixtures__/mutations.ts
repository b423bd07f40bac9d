import { parseDockerfile } from '../../../dockerfile/parse-dockerfile.ts';
import type { DockerfileInstruction } from '../../../dockerfile/types.ts';

/** A Dockerfile that is not the one an image was built from. */
export interface Mutation {
  /** What was done, and in which line: `drop 4`. */
  readonly name: string;
  readonly dockerfile: string;
  /** The lines the first difference can be told in. */
  readonly lines: readonly [first: number, last: number];
}

/** Every instruction dropped, doubled by another, swapped with the next, and changed in one letter at either end. */
export function mutationsOf(dockerfile: string, builder: 'classic' | 'buildkit'): readonly Mutation[] {
  const text = dockerfile.split('\n');
  const instructions = spineOf(dockerfile);
  return instructions.flatMap((instruction, index) => {
    const { startLine, endLine } = instruction;
    const next = instructions[index + 1];
    const [before, own, after] = [
      text.slice(0, startLine - 1),
      text.slice(startLine - 1, endLine),
      text.slice(endLine),
    ];
    const last = next?.endLine ?? endLine;
    const mutation = (name: string, lines: readonly string[]): readonly Mutation[] => {
      const changed = [...before, ...lines].join('\n');
      const isShown = changed !== dockerfile && shows(name, instruction, next, builder);
      return isShown && isDockerfile(changed)
        ? [{ name: `${name} ${startLine}`, dockerfile: changed, lines: [startLine, last + 1] }]
        : [];
    };
    const isNext = next !== undefined && next.startLine === endLine + 1;
    const swapped = isNext ? text.slice(next.startLine - 1, next.endLine) : [];
    return [
      ...mutation('drop', after),
      ...mutation('add', ['RUN added', ...own, ...after]),
      ...(isNext ? mutation('swap', [...swapped, ...own, ...text.slice(next.endLine)]) : []),
      ...mutation('first letter', [...changeFirst(own), ...after]),
      ...mutation('last letter', [...changeLast(own, instruction), ...after]),
    ];
  });
}

/** What a history cannot tell: each a limit that is documented. */
function shows(
  name: string,
  instruction: DockerfileInstruction,
  next: DockerfileInstruction | undefined,
  builder: 'classic' | 'buildkit',
): boolean {
  const { keyword } = instruction;
  const isWord = name.endsWith('letter');
  if (builder === 'buildkit') {
    if (keyword === 'ONBUILD') return name === 'add';
    if (name === 'swap' && next?.keyword === 'ONBUILD') return false;
    if (keyword === 'ARG') return name !== 'last letter';
  } else {
    // A label after all others may have been given to the build.
    if (keyword === 'LABEL' && name === 'drop') return next !== undefined;
    // Sources are recorded as a checksum.
    if (keyword === 'COPY' || keyword === 'ADD') return !isWord;
  }
  // Flags of RUN are not recorded.
  return !(keyword === 'RUN' && instruction.flags.length > 0 && name === 'first letter');
}

function spineOf(dockerfile: string): readonly DockerfileInstruction[] {
  const { stages } = parseDockerfile(dockerfile);
  const chain = stages.slice(-1);
  for (let base = chain[0]?.base; base?.kind === 'stage'; base = chain[0]?.base) {
    const stage = stages[base.stage];
    if (stage !== undefined) chain.unshift(stage);
  }
  return chain.flatMap(({ instructions }) => instructions);
}

function isDockerfile(text: string): boolean {
  try {
    return parseDockerfile(text).stages.length > 0;
  } catch {
    return false;
  }
}

const other = (letter: string): string => (letter === 'q' ? 'z' : 'q');

function changeFirst([line = '', ...rest]: readonly string[]): readonly string[] {
  const changed = line.replace(
    /^(\s*\S+\s+(?:--\S+\s+)*\W*)(\w)/,
    (_whole, start, letter) => start + other(letter),
  );
  return [changed, ...rest];
}

function changeLast(own: readonly string[], { heredocs }: DockerfileInstruction): readonly string[] {
  const at = heredocs.length > 0 ? 0 : own.length - 1;
  const line = own[at] ?? '';
  return own.with(
    at,
    line.replace(/(\w)(\W*)$/, (_whole, letter, end) => other(letter) + end),
  );
}
