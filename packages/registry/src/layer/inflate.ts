import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { invalidArchive } from './tar-header.ts';
import type { LayerCompression } from './types.ts';
import { ZstdFrames } from './zstd-frames.ts';

type Engine = Gunzip | ZstdDecompress;

/** Large pieces keep the number of hops to zlib's thread low. */
const INPUT_BYTES = 512 * 1024;
const OUTPUT_BYTES = 1024 * 1024;
/** RFC 8878 asks for 8 MiB and real layers use up to 128; a frame may ask for gigabytes. */
const ZSTD_WINDOW_LOG = 27;

/**
 * Inflates a layer's blob: gzip, zstd or neither, by its first bytes. Iterate once; the facts are complete
 * when the iteration has ended. The pieces are valid until the next one is asked for.
 */
export class Inflation implements AsyncIterable<Uint8Array> {
  compression: LayerCompression = 'none';
  /** Compressed bytes read so far. */
  receivedBytes = 0;
  severalMembers = false;
  trailingBytes = 0;
  readonly #chunks: AsyncIterable<Uint8Array>;
  /** The last four bytes read: in gzip, the member's length modulo 2^32. */
  readonly #tail: Buffer = Buffer.alloc(4);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** @throws {@link RegistryError} `INVALID_LAYER` when the stream is truncated or corrupt. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const batches = this.#batches();
    const first = await batches.next();
    if (first.done) return;
    this.compression = sniff(first.value);
    const all = prepend(first.value, batches);
    if (this.compression === 'none') yield* all;
    else if (this.compression === 'gzip') yield* this.#gunzip(all);
    else yield* this.#unzstd(all);
  }

  async *#gunzip(batches: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
    const engine = createGunzip({ chunkSize: OUTPUT_BYTES });
    let inflated = 0;
    for await (const output of run(engine, batches)) {
      inflated += output.byteLength;
      yield output;
    }
    this.trailingBytes = this.receivedBytes - engine.bytesWritten;
    this.severalMembers = this.trailingBytes === 0 && this.#tail.readUInt32LE(0) !== inflated % 2 ** 32;
  }

  async *#unzstd(batches: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
    const frames = new ZstdFrames();
    const params = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG };
    yield* run(createZstdDecompress({ chunkSize: OUTPUT_BYTES, params }), splitFrames(frames, batches));
    this.severalMembers = frames.frames > 1;
  }

  /** Gathers chunks into pieces of {@link INPUT_BYTES}, in two buffers used in turn. */
  async *#batches(): AsyncGenerator<Buffer> {
    let batch: Buffer = Buffer.allocUnsafeSlow(INPUT_BYTES);
    let other: Buffer | undefined;
    let filled = 0;
    for await (const chunk of this.#chunks) {
      this.receivedBytes += chunk.byteLength;
      this.#rememberTail(chunk);
      for (let at = 0; at < chunk.byteLength; ) {
        const used = Math.min(chunk.byteLength - at, INPUT_BYTES - filled);
        batch.set(chunk.subarray(at, at + used), filled);
        filled += used;
        at += used;
        if (filled < INPUT_BYTES) continue;
        yield batch;
        [batch, other] = [other ?? Buffer.allocUnsafeSlow(INPUT_BYTES), batch];
        filled = 0;
      }
    }
    if (filled > 0) yield batch.subarray(0, filled);
  }

  #rememberTail(chunk: Uint8Array): void {
    const last = chunk.subarray(-4);
    this.#tail.copyWithin(0, last.byteLength);
    this.#tail.set(last, 4 - last.byteLength);
  }
}

function sniff(start: Buffer): LayerCompression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  if (start.length < 4) return 'none';
  const magic = start.readUInt32LE(0);
  return magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5 ? 'zstd' : 'none';
}

async function* prepend(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

async function* splitFrames(frames: ZstdFrames, batches: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  for await (const batch of batches) yield* frames.split(batch);
}

/**
 * Runs batches through a decoder. zlib decodes one piece on its thread while the consumer works on the piece
 * before and the next batch is being read.
 */
async function* run(engine: Engine, batches: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
  const fed = feed(engine, batches);
  fed.catch((error) => engine.destroy(error));
  try {
    for await (const output of engine as AsyncIterable<Buffer<ArrayBuffer>>) {
      yield output;
      release(output);
    }
    await fed;
  } catch (error) {
    throw isCorruption(error) ? invalidArchive(`it does not inflate (${error.message})`) : error;
  } finally {
    engine.destroy();
  }
}

/**
 * Frees an output buffer that is used up. Left to the garbage collector, which sees how little the wrappers weigh,
 * they grow to a hundred megabytes per thread.
 */
function release({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>): void {
  // Only past its last byte has the decoder gone on to another buffer; a smaller one may be shared.
  if (buffer.byteLength === OUTPUT_BYTES && byteOffset + byteLength === OUTPUT_BYTES) buffer.transfer(0);
}

async function feed(engine: Engine, batches: AsyncGenerator<Buffer>): Promise<void> {
  let written = Promise.resolve();
  for await (const batch of batches) {
    await written;
    written = write(engine, batch);
    // The failure surfaces on the reading side, or at the next await.
    written.catch(() => undefined);
  }
  await written;
  engine.end();
}

function write(engine: Engine, batch: Buffer): Promise<void> {
  // The decoder has seen the end of its stream; what follows is trailing.
  if (engine.readableEnded) return Promise.resolve();
  return new Promise((resolve, reject) => {
    engine.write(batch, (error) => {
      if (error && !engine.readableEnded) reject(error);
      else resolve();
    });
  });
}

function isCorruption(error: unknown): error is Error {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^(?:Z_|ZSTD_)/.test(code);
}
