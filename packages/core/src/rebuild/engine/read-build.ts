import type { Readable } from 'node:stream';
import { CoreError } from '../../errors.ts';
import type { BuildEvent } from '../types.ts';
import { decodeBuildkitTrace } from './buildkit-trace.ts';
import { BuildPosition } from './failing-line.ts';
import { engineLost, pushStatus } from './failures.ts';
import { type EngineMessage, failureIn, printableLines, readMessages } from './messages.ts';

interface ReadOptions {
  readonly maxBytes: number;
  /** The engine, for messages: `the engine at unix:///...`. */
  readonly engine: string;
  readonly onProgress?: (event: BuildEvent) => void;
}

/**
 * Reads the answer to a build to its end. A build that fails says so in the stream, after an HTTP 200.
 *
 * @returns the id of the image that was built
 * @throws {@link CoreError} `BUILD_FAILED` with the Dockerfile line, `BUILD_LIMIT_EXCEEDED`, `ENGINE_LOST` for an answer that
 * ends without an image
 */
export async function readBuild(
  stream: Readable,
  options: ReadOptions & { readonly dockerfile: string },
): Promise<string> {
  const position = new BuildPosition(options.dockerfile);
  const log = (text: string) => options.onProgress?.({ type: 'build-log', text });
  const seen = new Set<string>();
  let image: string | undefined;
  for await (const message of readMessages(stream, options)) {
    if (message.id === 'moby.buildkit.trace') readTrace(message, position, { log, seen });
    for (const line of printableLines(message.stream ?? message.status)) {
      position.read(line);
      log(line);
    }
    // Each stage tells its image; the last one is the result.
    image = builtImage(message) ?? image;
    const failure = failureIn(message);
    if (failure !== undefined) throw buildFailed(failure, message, position.line);
  }
  if (image === undefined) throw engineLost(options.engine);
  return image;
}

function readTrace(
  { aux }: EngineMessage,
  position: BuildPosition,
  { log, seen }: { readonly log: (text: string) => void; readonly seen: Set<string> },
): void {
  const { vertexes, logs } = decodeBuildkitTrace(aux);
  for (const { digest, name, error } of vertexes) {
    if (error !== undefined) position.readVertex(name);
    if (!seen.has(digest)) for (const line of printableLines(name)) log(line);
    seen.add(digest);
  }
  for (const { bytes } of logs)
    for (const line of printableLines(Buffer.from(bytes).toString('utf8'))) log(line);
}

function builtImage({ aux }: EngineMessage): string | undefined {
  const id = (aux as { readonly ID?: unknown } | null | undefined)?.ID;
  if (typeof id !== 'string' || !/^(?:sha256:)?[0-9a-f]{64}$/.test(id)) return undefined;
  return id.startsWith('sha256:') ? id : `sha256:${id}`;
}

function buildFailed(failure: string, message: EngineMessage, line: number | undefined): CoreError {
  const where = line === undefined ? '' : ` in line ${line}`;
  const exitCode =
    message.errorDetail?.code ?? Number(/exit (?:code:|status) (\d{1,3})\b/.exec(failure)?.[1]);
  return new CoreError('BUILD_FAILED', `the build failed${where}: ${failure}`, {
    details: { ...(line === undefined ? {} : { line }), ...(Number.isInteger(exitCode) ? { exitCode } : {}) },
  });
}

/** Reads the answer to a push or a pull to its end. @throws {@link CoreError} `code` when it failed */
export async function readTransfer(
  stream: Readable,
  options: ReadOptions & { readonly code: 'PUSH_FAILED' | 'BUILD_FAILED'; readonly doing: string },
): Promise<void> {
  for await (const message of readMessages(stream, options)) {
    const failure = failureIn(message);
    if (failure !== undefined) {
      const status = pushStatus(failure);
      throw new CoreError(options.code, `${options.doing} failed: ${failure}`, {
        hint: 'Check that the engine itself can reach the registry, and may read and write there.',
        ...(status === undefined ? {} : { details: { status } }),
      });
    }
    for (const text of printableLines(message.status)) options.onProgress?.({ type: 'push-progress', text });
  }
}
