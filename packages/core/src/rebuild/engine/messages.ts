import type { Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { CoreError } from '../../errors.ts';

/** One message of the engine. Which members there are depends on the engine and on what it does. */
export interface EngineMessage {
  readonly id?: string;
  readonly stream?: string;
  readonly status?: string;
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
  /** `{ ID }` of a built image; `{ Digest }` of a pushed one; base64 of a BuildKit trace. */
  readonly aux?: unknown;
}

/** Longest message: one is one line. 8 MiB. */
const MAX_MESSAGE_CHARACTERS = 8 * 1024 * 1024;

/**
 * Reads an engine's answer: JSON by lines, in UTF-8 that may be cut anywhere, the last line with or without its newline. What
 * is no JSON is a line of the log.
 *
 * @throws {@link CoreError} `BUILD_LIMIT_EXCEEDED`
 */
export async function* readMessages(
  stream: Readable,
  options: { readonly maxBytes: number },
): AsyncGenerator<EngineMessage> {
  const decoder = new TextDecoder();
  let pending = '';
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      const lines = (pending + decoder.decode(chunk, { stream: true })).split('\n');
      pending = lines.pop() ?? '';
      if (bytes > options.maxBytes || pending.length > MAX_MESSAGE_CHARACTERS) {
        throw new CoreError(
          'BUILD_LIMIT_EXCEEDED',
          `the engine's log is longer than ${options.maxBytes} bytes`,
          {
            hint: 'A build that prints without end is stopped.',
          },
        );
      }
      for (const line of lines) yield* parseMessage(line);
    }
    yield* parseMessage(pending + decoder.decode());
  } finally {
    // Also stops a build that is still going.
    stream.destroy();
  }
}

function* parseMessage(line: string): Generator<EngineMessage> {
  if (line.trim() === '') return;
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message === 'object' && message !== null) yield message;
  } catch {
    yield { stream: line };
  }
}

/** What went wrong, in the engine's words. */
export function failureIn({ error, errorDetail }: EngineMessage): string | undefined {
  const words = errorDetail?.message ?? error;
  if (typeof words === 'string') return printable(words);
  return error === undefined && errorDetail === undefined ? undefined : 'no reason given';
}

/** Lines without control characters and escape sequences: they come from the code of strangers. */
export function printableLines(text: unknown): readonly string[] {
  if (typeof text !== 'string') return [];
  return text
    .split('\n')
    .map(printable)
    .filter((line) => line !== '');
}

function printable(text: string): string {
  return stripVTControlCharacters(text.slice(0, 16_000))
    .replaceAll(/\p{Cc}/gu, ' ')
    .slice(0, 4000)
    .trimEnd();
}
