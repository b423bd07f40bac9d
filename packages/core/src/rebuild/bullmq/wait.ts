/** One caller's wait for one job: woken by the queue's events, by a timer, or by an abort. */
export class Wait {
  readonly onLog: ((text: string) => void) | undefined;
  readonly #pollMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted: Promise<never>;
  readonly #abort: () => void;
  #wake: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(pollMs: number, onLog: ((text: string) => void) | undefined, signal: AbortSignal | undefined) {
    this.#pollMs = pollMs;
    this.onLog = onLog;
    this.#signal = signal;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.#aborted = promise;
    this.#abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  look(): void {
    this.#wake();
  }

  /**
   * Resolves when it is time to look again. Called before the look, so that nothing told meanwhile is missed; it never
   * rejects, since nobody may be waiting for it by then.
   */
  next(): Promise<void> {
    clearTimeout(this.#timer);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    this.#timer = setTimeout(resolve, this.#pollMs);
    return promise;
  }

  unlessAborted<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#aborted]);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#abort);
  }
}
