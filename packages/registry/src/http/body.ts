import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { RegistryError } from '../errors.ts';
import { explain } from './failures.ts';
import type { HttpRequest } from './transport.ts';

/** A body whose failures are told in our terms; an abort is the signal's reason itself. */
export async function* explained(
  body: AsyncIterable<Uint8Array>,
  wanted: Pick<HttpRequest, 'method' | 'url'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    signal?.throwIfAborted();
    throw explain(error, wanted);
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
