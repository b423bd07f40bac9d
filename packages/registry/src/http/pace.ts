import { pause } from './retry.ts';

/** How many requests a host is asked to bear. */
export interface PaceOptions {
  /** Requests to one host that wait for their answer at a time; bodies being streamed do not count. @defaultValue 6 */
  readonly requestsAtOnce?: number;
  /** Requests to one host that may start in a second. @defaultValue unlimited */
  readonly requestsPerSecond?: number;
}

interface Host {
  waiting: number;
  /** When the next request may start, in milliseconds since 1970. */
  next: number;
  readonly queue: (() => void)[];
}

/** Lets requests to one host through as fast as it may be asked, in the order they came. */
export class Pace {
  readonly #atOnce: number;
  readonly #intervalMs: number;
  readonly #hosts = new Map<string, Host>();

  constructor({ requestsAtOnce = 6, requestsPerSecond = Number.POSITIVE_INFINITY }: PaceOptions) {
    this.#atOnce = Math.max(1, Math.floor(requestsAtOnce));
    this.#intervalMs = requestsPerSecond > 0 ? 1000 / requestsPerSecond : 0;
  }

  /** Runs work when its turn has come; an abort gives the turn up. */
  async run<T>(origin: string, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const host = this.#hosts.get(origin) ?? { waiting: 0, next: 0, queue: [] };
    this.#hosts.set(origin, host);
    if (host.waiting < this.#atOnce) host.waiting += 1;
    else await turn(host, signal);
    try {
      const start = Math.max(host.next, Date.now());
      host.next = start + this.#intervalMs;
      await pause(start - Date.now(), signal);
      return await work();
    } finally {
      // Whoever is next takes over the place; without anybody it is free.
      const next = host.queue.shift();
      if (next !== undefined) next();
      else host.waiting -= 1;
      if (host.waiting === 0 && host.next <= Date.now()) this.#hosts.delete(origin);
    }
  }
}

function turn({ queue }: Host, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      queue.splice(queue.indexOf(enter), 1);
      reject(signal?.reason);
    };
    const enter = () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    };
    if (signal?.aborted === true) return reject(signal.reason);
    signal?.addEventListener('abort', abort, { once: true });
    queue.push(enter);
  });
}
