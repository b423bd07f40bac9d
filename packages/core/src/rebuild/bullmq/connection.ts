import { Redis, type RedisOptions } from 'ioredis';
import { CoreError } from '../../errors.ts';

/** Which queue, and where its Redis or Valkey listens. */
export interface QueueConnection {
  /** `redis://host:port/db`, or `rediss://` over TLS; or options of ioredis. */
  readonly connection: string | RedisOptions;
  /** Name of the queue; callers and workers that share it share their work. @defaultValue imagevet-rebuild */
  readonly queue?: string;
  /** Before every key in Redis. @defaultValue imagevet */
  readonly prefix?: string;
}

export const QUEUE = 'imagevet-rebuild';
export const PREFIX = 'imagevet';

/** Opens a connection that waits through an outage: nothing that was asked is lost while Redis restarts. */
export function openConnection({ connection }: QueueConnection): Redis {
  const patient: RedisOptions = {
    maxRetriesPerRequest: null,
    // Blocking commands are cut by the server when they end; the connection is looked after by its own pings.
    retryStrategy: (times) => Math.min(times * 100, 2000),
  };
  const redis =
    typeof connection === 'string'
      ? new Redis(connection, patient)
      : new Redis({ ...connection, ...patient });
  // Told by whoever waits for an answer; without a listener it would be thrown.
  redis.on('error', () => {});
  return redis;
}

/** Rejects with `QUEUE_UNREACHABLE` when no Redis answers within the time. */
export async function answers(redis: Redis, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { host, port, path } = redis.options;
  const where = path ?? `${host}:${port}`;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(
      new CoreError('QUEUE_UNREACHABLE', `no Redis answered at ${where} within ${timeoutMs} ms`, {
        hint: 'Start Redis or Valkey there, or name another in `connection`.',
      }),
    );
  }, timeoutMs);
  const aborted = () => reject(signal?.reason);
  signal?.addEventListener('abort', aborted, { once: true });
  try {
    await Promise.race([redis.ping(), late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  }
}
