import { Worker } from 'node:worker_threads';
import { RegistryError, type RegistryErrorCode } from '../errors.ts';
import { abortable } from './abortable.ts';
import type { FromScanWorker, ThreadedScanOptions, ToScanWorker } from './scan-messages.ts';
import type { LayerScan } from './types.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Chunks on their way to a worker. */
const MAX_UNREAD = 3;

/** Threads that scan layers side by side; the calling thread only reads them from the network. */
export class ScanPool {
  readonly #idle: ScanThread[];
  readonly #all: readonly ScanThread[];

  private constructor(threads: readonly ScanThread[]) {
    this.#all = threads;
    this.#idle = [...threads];
  }

  /** Starts threads; `undefined` where there can be none, as when a bundler left the worker's file out. */
  static async open(size: number, worker: URL = workerUrl()): Promise<ScanPool | undefined> {
    const threads = Array.from({ length: size }, () => new ScanThread(worker));
    try {
      await Promise.all(threads.map((thread) => thread.ready));
      return new ScanPool(threads);
    } catch {
      for (const thread of threads) thread.close();
      return undefined;
    }
  }

  /** Number of threads. */
  get size(): number {
    return this.#all.length;
  }

  /**
   * Scans a layer as `scanLayer` does. Ask for no more at once than there are threads.
   *
   * @throws what `scanLayer` throws, and `signal.reason`; after either the pool is for closing only.
   */
  async scan(
    chunks: AsyncIterable<Uint8Array>,
    options: ThreadedScanOptions,
    signal: AbortSignal,
  ): Promise<LayerScan> {
    const thread = this.#idle.pop()!;
    const scan = await thread.scan(chunks, options, signal);
    this.#idle.push(thread);
    return scan;
  }

  close(): void {
    for (const thread of this.#all) thread.close();
  }
}

/** One worker and the memory that goes to and fro. */
class ScanThread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #free: ArrayBuffer[] = Array.from({ length: MAX_UNREAD }, () => new ArrayBuffer(CHUNK_BYTES));
  #freed: PromiseWithResolvers<void> = Promise.withResolvers();
  #result: PromiseWithResolvers<LayerScan> = Promise.withResolvers();

  constructor(worker: URL) {
    // A worker that does not start has no result to reject.
    this.#result.promise.catch(() => undefined);
    this.#worker = new Worker(worker, { execArgv: [] });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.once('message', () => resolve());
      this.#worker.once('error', reject);
    });
    this.#worker.on('message', (message: FromScanWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#result.reject(crash(error)));
  }

  async scan(
    chunks: AsyncIterable<Uint8Array>,
    options: ThreadedScanOptions,
    signal: AbortSignal,
  ): Promise<LayerScan> {
    const result = Promise.withResolvers<LayerScan>();
    this.#result = result;
    const ended = new AbortController();
    const abort = () => result.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      this.#post({ type: 'start', options });
      this.#feed(abortable(chunks, ended.signal), result.promise).catch(result.reject);
      return await result.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      ended.abort();
    }
  }

  close(): void {
    void this.#worker.terminate();
  }

  /** Sends chunks on in large pieces, as fast as the worker gives memory back. */
  async #feed(chunks: AsyncIterable<Uint8Array>, result: Promise<LayerScan>): Promise<void> {
    let piece = new Uint8Array(await this.#memory(result));
    let filled = 0;
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength; ) {
        const used = Math.min(chunk.byteLength - at, CHUNK_BYTES - filled);
        piece.set(chunk.subarray(at, at + used), filled);
        at += used;
        filled += used;
        if (filled < CHUNK_BYTES) continue;
        this.#post({ type: 'chunk', bytes: piece }, [piece.buffer]);
        piece = new Uint8Array(await this.#memory(result));
        filled = 0;
      }
    }
    this.#post({ type: 'chunk', bytes: piece.subarray(0, filled) }, [piece.buffer]);
    this.#post({ type: 'end' });
  }

  async #memory(result: Promise<LayerScan>): Promise<ArrayBuffer> {
    // A worker that has failed gives nothing back.
    while (this.#free.length === 0) await Promise.race([this.#freed.promise, result]);
    return this.#free.pop()!;
  }

  #receive(message: FromScanWorker): void {
    if (message.type === 'done') this.#result.resolve(message.scan);
    else if (message.type === 'failed') this.#result.reject(revive(message.error));
    else if (message.type === 'read') {
      this.#free.push(message.buffer);
      this.#freed.resolve();
      this.#freed = Promise.withResolvers();
    }
  }

  #post(message: ToScanWorker, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}

/** The worker's file: beside this one in the sources, in `layer/` of the built package. */
function workerUrl(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('./scan-worker.ts', import.meta.url)
    : new URL('./layer/scan-worker.js', import.meta.url);
}

/** Makes the error of a worker an error of this thread. */
function revive(error: Extract<FromScanWorker, { type: 'failed' }>['error']): Error {
  if (typeof error === 'string') return new Error(error);
  const { code, message, hint, details } = error;
  return new RegistryError(code as RegistryErrorCode, message, {
    hint,
    details: details as Readonly<Record<string, unknown>>,
  });
}

function crash(error: unknown): RegistryError {
  return new RegistryError('LIMIT_EXCEEDED', 'the thread scanning a layer ended, most likely out of memory', {
    cause: error,
  });
}
