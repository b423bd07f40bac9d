import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { RegistryError } from '../errors.ts';
import { chunksOf } from './chunks.ts';
import { explain } from './failures.ts';
import type { HttpRequest } from './request.ts';

/** A body whose failures are told in our terms; an abort is the signal's reason itself. */
export async function* explained(
  body: Readable,
  wanted: Pick<HttpRequest, 'method' | 'url'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* chunksOf(body);
  } catch (error) {
    signal?.throwIfAborted();
    throw explain(error, wanted);
  }
}

/** The least a body must bring while it is waited for. */
export interface MinimumThroughput {
  readonly bytesPerSecond: number;
  /** Time waited after which the bytes are counted, in milliseconds. @defaultValue 10000 */
  readonly windowMs?: number;
}

/**
 * A body that ends with an error when it trickles. Only the time spent waiting for bytes counts, so a reader that takes
 * its time is no fault of the server's.
 *
 * @throws {@link RegistryError} `TIMEOUT`
 */
export async function* brisk(
  body: AsyncIterable<Uint8Array>,
  { bytesPerSecond, windowMs = 10_000 }: MinimumThroughput,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let waitedMs = 0;
  let bytes = 0;
  let since = performance.now();
  for await (const chunk of body) {
    waitedMs += performance.now() - since;
    bytes += chunk.byteLength;
    if (waitedMs >= windowMs) {
      if (bytes * 1000 < bytesPerSecond * waitedMs) {
        throw new RegistryError(
          'TIMEOUT',
          `${what}: ${bytes} bytes in ${Math.round(waitedMs)} ms, expected ${bytesPerSecond} a second`,
        );
      }
      waitedMs = 0;
      bytes = 0;
    }
    yield chunk;
    since = performance.now();
  }
}

/** The body as it was before the server encoded it. What it may grow to is for the reader to bound. */
export async function* decoded(
  body: AsyncIterable<Uint8Array>,
  encoding: string | readonly string[],
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (encoding !== 'gzip' && encoding !== 'x-gzip') {
    throw new RegistryError(
      'PROTOCOL_ERROR',
      `${what} came with content-encoding ${String(encoding).slice(0, 40)}`,
    );
  }
  let failure: unknown;
  const source = Readable.from(body);
  const gunzip = createGunzip();
  source.once('error', (error) => {
    failure = error;
    gunzip.destroy(error);
  });
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw (
      failure ??
      new RegistryError('PROTOCOL_ERROR', `${what} is not the gzip it claims to be`, { cause: error })
    );
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

/** A body that was read already. */
export async function* bounded(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
