import { type Duplex, PassThrough, pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { DEFAULT_LAYER_LIMITS } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';

const GZIP = 0x1f8b;
const ZSTD = 0x28b52ffd;

/**
 * The archive in a layer's blob, by its first bytes: gzip, zstd or neither.
 *
 * @throws {@link CoreError} `BUILD_LIMIT_EXCEEDED` beyond the bytes a layer may have; what the blob's source and zlib throw
 */
export async function* inflate(
  blob: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const chunks = blob[Symbol.asyncIterator]();
  try {
    let head = Buffer.alloc(0);
    while (head.length < 4) {
      const next = await chunks.next();
      if (next.done === true) break;
      head = Buffer.concat([head, next.value]);
    }
    const whole = Readable.from(startingWith(head, chunks), { objectMode: false });
    let bytes = 0;
    const archive: AsyncIterable<Buffer> = pipeline(whole, decompressorOf(head), () => {});
    for await (const chunk of archive) {
      signal?.throwIfAborted();
      bytes += chunk.length;
      if (bytes > DEFAULT_LAYER_LIMITS.maxUncompressedBytes) {
        throw new CoreError('BUILD_LIMIT_EXCEEDED', 'a layer is too large to be looked through');
      }
      yield chunk;
    }
  } finally {
    await chunks.return?.();
  }
}

function decompressorOf(head: Buffer): Duplex {
  if (head.length >= 2 && head.readUInt16BE(0) === GZIP) return createGunzip();
  if (head.length >= 4 && head.readUInt32BE(0) === ZSTD) return createZstdDecompress();
  return new PassThrough();
}

async function* startingWith(head: Buffer, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head;
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
}
