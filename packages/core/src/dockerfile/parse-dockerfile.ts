import { DEFAULT_PLATFORM, type Platform } from '@imagevet/registry';
import { readDirectives } from './directives.ts';
import { readInstructions } from './instructions.ts';
import { invalid } from './invalid.ts';
import { readStages } from './stages.ts';
import type { BuildParameters, Dockerfile } from './types.ts';
import { withoutMark } from './words.ts';

/** Options of {@link parseDockerfile}. */
export interface ParseDockerfileOptions extends BuildParameters {
  /** What is built for: TARGETPLATFORM and its parts. @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /** What is built on: BUILDPLATFORM and its parts. @defaultValue the same as `platform` */
  readonly buildPlatform?: Platform;
}

/** Largest Dockerfile read: 2 MiB. */
const MAX_BYTES = 2 * 1024 * 1024;

/**
 * Reads a Dockerfile as BuildKit does: directives, global ARGs, stages, what each is built on, and what it takes from
 * other images.
 *
 * A base that cannot be known (an ARG without value) is `unresolved`, not an error.
 *
 * @throws {@link CoreError} `INVALID_DOCKERFILE`, with the line, for what BuildKit refuses, for a template that is no
 * Dockerfile yet, and for more than 2 MiB.
 */
export function parseDockerfile(
  content: string | Uint8Array,
  options: ParseDockerfileOptions = {},
): Dockerfile {
  const text = decode(content);
  const directives = readDirectives(text);
  const instructions = readInstructions(text, directives.escape);
  if (instructions.length === 0) throw invalid('it has no instruction', 1);
  const platform = options.platform ?? DEFAULT_PLATFORM;
  const { globalArgs, stages } = readStages(instructions, {
    escape: directives.escape,
    buildArgs: options.buildArgs ?? {},
    target: options.target,
    platform,
    buildPlatform: options.buildPlatform ?? platform,
  });
  return {
    text,
    escape: directives.escape,
    ...(directives.syntax === undefined ? {} : { syntax: directives.syntax }),
    globalArgs,
    ...(options.target === undefined ? {} : { target: options.target }),
    stages,
  };
}

function decode(content: string | Uint8Array): string {
  const size = typeof content === 'string' ? content.length : content.byteLength;
  if (size > MAX_BYTES) throw invalid(`it is larger than ${MAX_BYTES} bytes`, 1);
  const text =
    typeof content === 'string' ? content : new TextDecoder('utf-8', { ignoreBOM: true }).decode(content);
  return withoutMark(text);
}
