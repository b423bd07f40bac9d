import { finalStage } from '../../dockerfile/queries.ts';
import type { Dockerfile, DockerfileInstruction } from '../../dockerfile/types.ts';
import { splitWords } from '../../dockerfile/words.ts';

/** Instructions that bring files, or make them. */
const FILES: ReadonlySet<string> = new Set(['ADD', 'COPY', 'RUN']);

/** The archive that is all there is in an image. */
export interface RootfsArchive {
  /** Path in the build context, as written. */
  readonly path: string;
  /** The ADD that unpacks it. */
  readonly instruction: DockerfileInstruction;
}

/**
 * Finds the one archive that a Dockerfile on `scratch` unpacks as the root filesystem, where it does nothing else that brings
 * or makes files. What made the archive is not in the Dockerfile.
 */
export function rootfsArchiveOf(dockerfile: Dockerfile): RootfsArchive | undefined {
  const stage = finalStage(dockerfile);
  const [instruction, ...more] = stage.instructions.filter(({ keyword }) => FILES.has(keyword));
  if (stage.base.kind !== 'scratch' || instruction?.keyword !== 'ADD' || more.length > 0) return undefined;
  const [path = '', target, ...rest] = operandsOf(instruction.arguments, dockerfile);
  const isWhole = rest.length === 0 && target === '/';
  return isWhole && ARCHIVE.test(path) && !/^[a-z]+:/.test(path) ? { path, instruction } : undefined;
}

/** What ADD unpacks, by its usual name. */
const ARCHIVE = /\.(?:tar(?:\.(?:gz|xz|bz2|zst|lzma))?|tgz|txz|tbz2?)$/;

function operandsOf(text: string, { escape: character }: Dockerfile): readonly string[] {
  if (!text.trimStart().startsWith('[')) return splitWords(text, character);
  try {
    const words: unknown = JSON.parse(text);
    return Array.isArray(words) ? words.map(String) : [];
  } catch {
    return [];
  }
}
