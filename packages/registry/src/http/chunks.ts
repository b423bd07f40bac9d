import type { Readable } from 'node:stream';

/** Held at most while the reader is busy; the stream is paused meanwhile. */
const HELD_BYTES = 1024 * 1024;

/**
 * The chunks of a stream as they came. The stream's own iterator joins all that arrived while its reader was busy, which
 * copies every byte once more.
 */
export async function* chunksOf(stream: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  const held: Uint8Array[] = [];
  let bytes = 0;
  let over = false;
  let failure: Error | undefined;
  let wake = () => {};
  const onData = (chunk: Uint8Array) => {
    held.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= HELD_BYTES) stream.pause();
    wake();
  };
  const onEnd = () => {
    over = true;
    wake();
  };
  const onError = (error: Error) => {
    failure = error;
    wake();
  };
  const onClose = () => {
    if (!over)
      failure ??= Object.assign(new Error('the stream closed early'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    wake();
  };
  stream.on('end', onEnd).on('error', onError).on('close', onClose).on('data', onData);
  try {
    for (;;) {
      const chunk = held.shift();
      if (chunk !== undefined) {
        bytes -= chunk.byteLength;
        yield chunk;
        if (bytes < HELD_BYTES && stream.isPaused()) stream.resume();
      } else if (failure !== undefined) throw failure;
      else if (over) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    // Errors after the end are nobody's: the listener stays.
    stream.off('data', onData);
    if (!over) stream.destroy();
  }
}
