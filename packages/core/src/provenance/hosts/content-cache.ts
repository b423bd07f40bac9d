import { CoreError } from '../../errors.ts';

/** Content kept by key, oldest use first out, once more than `maxBytes` are held. */
export class ContentCache<Value> {
  readonly #entries = new Map<string, { readonly value: Value; readonly size: number }>();
  readonly #loading = new Map<string, Promise<Value>>();
  readonly #maxBytes: number;
  readonly #sizeOf: (value: Value) => number;
  #bytes = 0;

  constructor(maxBytes: number, sizeOf: (value: Value) => number) {
    this.#maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
  }

  /** Returns what is kept, or loads it; callers that ask meanwhile share one load. */
  async get(key: string, load: () => Promise<Value>, signal?: AbortSignal): Promise<Value> {
    signal?.throwIfAborted();
    const kept = this.peek(key);
    if (kept !== undefined) return kept;
    let shared = this.#loading.get(key);
    while (shared !== undefined) {
      try {
        return await abortable(shared, signal);
      } catch (error) {
        signal?.throwIfAborted();
        // Anything else is the other caller's abort: the next one loads.
        if (error instanceof CoreError) throw error;
        shared = this.#loading.get(key);
      }
    }
    const loading = load();
    this.#loading.set(key, loading);
    try {
      const value = await loading;
      this.set(key, value);
      return value;
    } finally {
      if (this.#loading.get(key) === loading) this.#loading.delete(key);
    }
  }

  /** Returns what is kept. */
  peek(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.size ?? 0;
    this.#entries.delete(key);
  }

  set(key: string, value: Value): void {
    this.delete(key);
    const size = key.length + this.#sizeOf(value);
    if (size > this.#maxBytes) return;
    this.#entries.set(key, { value, size });
    this.#bytes += size;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= entry.size;
    }
  }
}

/** Waits for work somebody else started, until the signal aborts. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
