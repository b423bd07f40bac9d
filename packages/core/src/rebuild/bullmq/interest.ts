import type { Redis } from 'ioredis';

/** Forgotten after a day, so that a caller that died keeps no build going for ever. */
const SECONDS = 24 * 60 * 60;
/** How often who waits says so again, in milliseconds. */
export const INTEREST_REFRESH_MS: number = (SECONDS * 1000) / 24;

/**
 * Who waits for a job. A build that several callers want goes on when one of them gives up; one that nobody wants any more is
 * stopped. A caller that dies says nothing, and its builds are finished for the next run to find.
 */
export class Interest {
  readonly #redis: Redis;
  readonly #prefix: string;

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  async add(job: string, caller: string): Promise<void> {
    await this.#redis.multi().sadd(this.#key(job), caller).expire(this.#key(job), SECONDS).exec();
  }

  /** @returns whether somebody else still waits */
  async remove(job: string, caller: string): Promise<boolean> {
    const [, rest] =
      (await this.#redis.multi().srem(this.#key(job), caller).scard(this.#key(job)).exec()) ?? [];
    return Number(rest?.[1] ?? 0) > 0;
  }

  async has(job: string): Promise<boolean> {
    return (await this.#redis.exists(this.#key(job))) === 1;
  }

  #key(job: string): string {
    return `${this.#prefix}:wanted:${job}`;
  }
}
