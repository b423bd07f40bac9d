import { parentPort } from 'node:worker_threads';
import { ImagevetError } from '../errors.ts';
import { scanLayer } from './scan-layer.ts';
import type { FromScanWorker, ToScanWorker } from './scan-messages.ts';

// Entry of the worker threads that a ScanPool starts: scans one layer at a time, fed by messages.

const port = parentPort!;
let feed: Feed | undefined;

port.on('message', (message: ToScanWorker) => {
  if (message.type === 'start') {
    feed = new Feed();
    scanLayer(feed, message.options).then(
      (scan) => post({ type: 'done', scan }),
      (error: unknown) =>
        post({ type: 'failed', error: ImagevetError.is(error) ? error.toJSON() : String(error) }),
    );
  } else if (message.type === 'chunk') feed?.push(message.bytes);
  else feed?.push(undefined);
});
post({ type: 'ready' });

function post(message: FromScanWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** The chunks of a layer as they arrive; each one's memory goes back when the next is asked for. */
class Feed implements AsyncIterable<Uint8Array> {
  readonly #chunks: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  #wake: (() => void) | undefined;

  /** Adds a chunk, or the end. */
  push(chunk: Uint8Array<ArrayBuffer> | undefined): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#chunks.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const chunk = this.#chunks.shift();
      if (chunk === undefined) return;
      yield chunk;
      post({ type: 'read', buffer: chunk.buffer }, [chunk.buffer]);
    }
  }
}
