import type { OperationOptions } from '@imagevet/registry';
import pLimit, { type LimitFunction } from 'p-limit';
import { CoreError } from '../errors.ts';

/** Options of {@link createLineageCache}. */
export interface LineageCacheOptions {
  /** Answers kept, in bytes, least recently used out first. @defaultValue 268435456 */
  readonly maxBytes?: number;
  /** Questions under way at a time, over all lineages that share it; 1 or more. @defaultValue 16 */
  readonly concurrency?: number;
}

/** Options of {@link LineageCache.remember}. */
export interface RememberOptions<Value> extends OperationOptions {
  /** Bytes a value takes. @defaultValue the length of its JSON */
  readonly sizeOf?: (value: Value) => number;
}

/**
 * What registries, sources and hosts answered, for lineages that share ancestors. An answer stays as it was for as long as it
 * is kept: all lineages of one cache see one state of every tag. Make one for a run, not for the life of a service.
 */
export interface LineageCache {
  /**
   * Returns what is kept under a key, or loads it. Callers that ask meanwhile share one load, which is aborted once all of
   * them have. Failures are not kept.
   *
   * @param owner whose answer it is: a registry, a source, a host. Keys of different owners are different.
   */
  remember<Value>(
    owner: object,
    key: string,
    load: (signal: AbortSignal) => Promise<Value>,
    options?: RememberOptions<Value>,
  ): Promise<Value>;
  /** Does some work once fewer than `concurrency` others are under way. Work inside such work must not wait for this. */
  limited<Value>(work: () => Promise<Value>): Promise<Value>;
}

/**
 * Creates a cache in memory.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a size or a concurrency that is no whole number above 0
 */
export function createLineageCache(options: LineageCacheOptions = {}): LineageCache {
  const { maxBytes = 256 * 1024 * 1024, concurrency = 16 } = options;
  for (const [name, value] of Object.entries({ maxBytes, concurrency })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new CoreError('INVALID_OPTIONS', `${name}: expected a whole number above 0, received ${value}`);
  }
  return new MemoryCache(maxBytes, pLimit(concurrency));
}

interface Load {
  readonly answer: Promise<unknown>;
  readonly abort: AbortController;
  waiting: number;
}

class MemoryCache implements LineageCache {
  readonly #kept = new Map<string, { readonly value: unknown; readonly size: number }>();
  readonly #loads = new Map<string, Load>();
  readonly #owners = new WeakMap<object, number>();
  readonly #maxBytes: number;
  readonly #limit: LimitFunction;
  #count = 0;
  #bytes = 0;

  constructor(maxBytes: number, limit: LimitFunction) {
    this.#maxBytes = maxBytes;
    this.#limit = limit;
  }

  limited<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.#limit(work);
  }

  async remember<Value>(
    owner: object,
    key: string,
    load: (signal: AbortSignal) => Promise<Value>,
    { signal, sizeOf = sizeOfJson }: RememberOptions<Value> = {},
  ): Promise<Value> {
    signal?.throwIfAborted();
    const name = `${this.#numberOf(owner)} ${key}`;
    const kept = this.#kept.get(name);
    if (kept !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, kept);
      return kept.value as Value;
    }
    const shared = this.#loads.get(name) ?? this.#start(name, load, sizeOf);
    return (await this.#wait(name, shared, signal)) as Value;
  }

  #start<Value>(
    name: string,
    load: (signal: AbortSignal) => Promise<Value>,
    sizeOf: (value: Value) => number,
  ): Load {
    const abort = new AbortController();
    const answer = (async () => {
      try {
        const value = await load(abort.signal);
        this.#keep(name, value, name.length + sizeOf(value));
        return value;
      } finally {
        if (this.#loads.get(name)?.abort === abort) this.#loads.delete(name);
      }
    })();
    // Those who wait see the failure; when all have gone nobody does.
    answer.catch(() => {});
    const started = { answer, abort, waiting: 0 };
    this.#loads.set(name, started);
    return started;
  }

  async #wait(name: string, load: Load, signal: AbortSignal | undefined): Promise<unknown> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    load.waiting += 1;
    try {
      return await Promise.race([load.answer, aborted]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      load.waiting -= 1;
      if (load.waiting === 0 && this.#loads.get(name) === load) {
        this.#loads.delete(name);
        load.abort.abort(signal?.reason);
      }
    }
  }

  #keep(name: string, value: unknown, size: number): void {
    if (size > this.#maxBytes) return;
    this.#bytes += size - (this.#kept.get(name)?.size ?? 0);
    this.#kept.delete(name);
    this.#kept.set(name, { value, size });
    for (const [oldest, entry] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#kept.delete(oldest);
      this.#bytes -= entry.size;
    }
  }

  #numberOf(owner: object): number {
    const known = this.#owners.get(owner);
    if (known !== undefined) return known;
    this.#count += 1;
    this.#owners.set(owner, this.#count);
    return this.#count;
  }
}

function sizeOfJson(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0;
}
