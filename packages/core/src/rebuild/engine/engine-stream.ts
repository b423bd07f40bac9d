import { stripVTControlCharacters } from 'node:util';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { CoreError } from '../../errors.ts';
import type { BuildEvent } from '../types.ts';

/** One message of the engine. */
interface EngineMessage {
  readonly stream?: string;
  readonly status?: string;
  readonly progress?: string;
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
}

interface ReadOptions {
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  readonly onProgress?: (event: BuildEvent) => void;
}

/** Longest line of the engine's answer; one message is one line. */
const MAX_LINE = 1024 * 1024;

/**
 * Reads the answer to a build to its end. A build that fails says so in the stream, after an HTTP 200.
 *
 * @throws CoreError `BUILD_FAILED` with the Dockerfile line, `BUILD_LIMIT_EXCEEDED`
 */
export async function readBuild(
  stream: NodeJS.ReadableStream,
  options: ReadOptions & { readonly dockerfile: string },
): Promise<void> {
  let step = 0;
  for await (const message of messagesOf(stream, options)) {
    const text = message.stream ?? message.status;
    const started = /^Step (\d{1,4})\/\d{1,4} : /.exec(text ?? '');
    if (started !== null) step = Number(started[1]);
    for (const line of text?.split('\n') ?? []) {
      if (line.trim() !== '') options.onProgress?.({ type: 'build-log', text: printable(line) });
    }
    const failure = message.errorDetail?.message ?? message.error;
    if (failure === undefined) continue;
    const line = lineOfStep(options.dockerfile, step);
    const where = line === undefined ? '' : ` in line ${line}`;
    throw new CoreError('BUILD_FAILED', `the build failed${where}: ${printable(failure)}`, {
      details: { ...(line === undefined ? {} : { line }), exitCode: message.errorDetail?.code },
    });
  }
}

/** Reads the answer to a push to its end. @throws CoreError `PUSH_FAILED` */
export async function readPush(
  stream: NodeJS.ReadableStream,
  options: ReadOptions & { readonly name: string },
): Promise<void> {
  for await (const message of messagesOf(stream, options)) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) {
      throw new CoreError('PUSH_FAILED', `pushing ${options.name} failed: ${printable(failure)}`, {
        hint: 'Check that the engine can reach the registry and may write to it.',
      });
    }
    if (message.status !== undefined)
      options.onProgress?.({ type: 'push-progress', text: printable(message.status) });
  }
}

/** Newline-separated JSON, in UTF-8 that may be cut anywhere, the last line with or without its newline. */
async function* messagesOf(
  stream: NodeJS.ReadableStream,
  options: ReadOptions,
): AsyncGenerator<EngineMessage> {
  const abort = () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy();
  options.signal.addEventListener('abort', abort, { once: true });
  const decoder = new TextDecoder();
  let pending = '';
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      pending += decoder.decode(chunk, { stream: true });
      if (bytes > options.maxBytes || pending.length > MAX_LINE) {
        throw new CoreError(
          'BUILD_LIMIT_EXCEEDED',
          `the engine's log is larger than ${options.maxBytes} bytes`,
        );
      }
      const lines = pending.split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) yield* parse(line);
    }
    yield* parse(pending);
    options.signal.throwIfAborted();
  } finally {
    options.signal.removeEventListener('abort', abort);
    abort();
  }
}

function* parse(line: string): Generator<EngineMessage> {
  if (line.trim() === '') return;
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message === 'object' && message !== null) yield message;
  } catch {
    yield { stream: line };
  }
}

/** The classic builder counts every instruction, global ARGs included, as a step. */
function lineOfStep(dockerfile: string, step: number): number | undefined {
  if (step === 0) return undefined;
  const { globalArgs, stages } = parseDockerfile(dockerfile);
  const lines = [
    ...globalArgs.map(({ startLine }) => startLine),
    ...stages.flatMap((stage) => [stage.startLine, ...stage.instructions.map(({ startLine }) => startLine)]),
  ];
  return lines[step - 1];
}

/** A build's words without control characters and escape sequences: they come from code of strangers. */
function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/\p{Cc}/gu, ' ')
    .slice(0, 4000)
    .trimEnd();
}
