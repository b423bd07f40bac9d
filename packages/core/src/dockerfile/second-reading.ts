import { DockerfileParser } from 'dockerfile-ast';
import type { Dockerfile, LineRange } from './types.ts';

/** Longest text read a second time, in characters; the other parser's time grows faster than the text's length. */
const MAX_LENGTH = 256 * 1024;

/**
 * Finds the first instruction that the syntax tree of `dockerfile-ast`, on which editors and scanners stand, has at other
 * lines or not at all. The builder runs what {@link parseDockerfile} reads; what a reviewer's tool does not show is a place to
 * hide something. Undefined when both read alike, or when the text is longer than 256 KiB.
 */
export function findOtherReading(
  dockerfile: Dockerfile,
): (LineRange & { readonly keyword: string }) | undefined {
  if (dockerfile.text.length > MAX_LENGTH) return undefined;
  const tree = DockerfileParser.parse(dockerfile.text.replaceAll('\r\n', '\n')).getInstructions();
  const shown = new Set(
    tree.map((node) => `${node.getRange().start.line + 1} ${node.getKeyword().toUpperCase()}`),
  );
  return [
    ...dockerfile.globalArgs,
    ...dockerfile.stages.flatMap((stage) => [
      { keyword: 'FROM', startLine: stage.startLine, endLine: stage.startLine },
      ...stage.instructions,
    ]),
  ].find(({ keyword, startLine }) => !shown.has(`${startLine} ${keyword}`));
}
