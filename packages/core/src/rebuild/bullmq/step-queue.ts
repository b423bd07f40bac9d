import { randomUUID } from 'node:crypto';
import { type Job, Queue, QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { CoreError } from '../../errors.ts';
import type { BuiltImage, RebuildOutcome, RebuildStep, StepOptions, StepRunner } from '../types.ts';
import { answers, openConnection, PREFIX, QUEUE, type QueueConnection } from './connection.ts';
import { INTEREST_REFRESH_MS, Interest } from './interest.ts';
import { jobId, parseOutcome, parseProgress, type StepJob, toJob, UNWANTED } from './message.ts';
import { Wait } from './wait.ts';

/** Options of {@link openStepQueue}. */
export interface StepQueueOptions extends QueueConnection {
  /** Steps in the queue at the same time; the workers decide how many are built. @defaultValue 1000 */
  readonly concurrency?: number;
  /**
   * How often a step that is waited for is looked up, in milliseconds. Its end is told at once; looking finds what was told
   * while Redis was away.
   * @defaultValue 5000
   */
  readonly pollMs?: number;
  /** How often a caller says that it still waits, in milliseconds; after a day without a word it is forgotten. @defaultValue 3600000 */
  readonly refreshMs?: number;
  /** Time Redis has to answer at the start, in milliseconds. @defaultValue 10000 */
  readonly timeoutMs?: number;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
}

/** A queue as a runner of steps. Made by {@link openStepQueue}. */
export interface StepQueue extends StepRunner, AsyncDisposable {
  close(): Promise<void>;
}

/** Finished jobs are kept for an hour, for callers that look late. */
const KEPT = { removeOnComplete: { age: 60 * 60 }, removeOnFail: { age: 60 * 60 } };
/** Times a step is put into the queue whose job disappears. */
const MAX_SUBMISSIONS = 5;

/**
 * Opens a queue on Redis or Valkey for `rebuild(plan, { runner })`: each step that is ready becomes a job, and workers
 * ({@link startStepWorker}) on any number of machines build them. Which step is ready is decided by the caller, from the
 * plan: BullMQ's own flows hang when two parents share a child. A caller that died calls again, joins the jobs that are
 * under way and takes what was pushed from the registry.
 *
 * Who can write to the queue decides what is built and what is said of it: protect its Redis as the engines themselves.
 *
 * @throws CoreError `QUEUE_UNREACHABLE`
 */
export async function openStepQueue(options: StepQueueOptions): Promise<StepQueue> {
  const redis = openConnection(options);
  try {
    await answers(redis, options.timeoutMs ?? 10_000, options.signal);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  return new RedisStepQueue(redis, options);
}

class RedisStepQueue implements StepQueue {
  readonly concurrency: number;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #pollMs: number;
  readonly #refreshMs: number;
  readonly #redis: Redis;
  readonly #listening: Redis;
  readonly #queue: Queue<StepJob, RebuildOutcome>;
  readonly #events: QueueEvents;
  readonly #interest: Interest;
  readonly #caller = randomUUID();
  #closed = false;
  /** Who is to be told of a job, by its id. */
  readonly #waiting = new Map<string, Set<Wait>>();

  constructor(redis: Redis, options: StepQueueOptions) {
    const { queue = QUEUE, prefix = PREFIX } = options;
    this.#name = queue;
    this.concurrency = options.concurrency ?? 1000;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#pollMs = options.pollMs ?? 5000;
    this.#refreshMs = options.refreshMs ?? INTEREST_REFRESH_MS;
    this.#redis = redis;
    this.#listening = openConnection(options);
    this.#interest = new Interest(this.#redis, `${prefix}:${queue}`);
    this.#queue = new Queue(queue, { connection: this.#redis, prefix });
    this.#events = new QueueEvents(queue, { connection: this.#listening, prefix });
    // Each is told by whoever waits.
    this.#queue.on('error', () => {});
    this.#events.on('error', () => {});
    const look = ({ jobId: id }: { readonly jobId: string }) => this.#tell(id, (wait) => wait.look());
    this.#events.on('completed', look);
    this.#events.on('failed', look);
    this.#events.on('removed', look);
    this.#events.on('progress', ({ jobId: id, data }) =>
      this.#tell(id, ({ onLog }) => {
        for (const line of parseProgress(data)) onLog?.(line);
      }),
    );
  }

  async probe({ signal }: StepOptions = {}): Promise<{ readonly name: string; readonly version: string }> {
    await answers(this.#redis, this.#timeoutMs, signal);
    await this.#events.waitUntilReady();
    return { name: `queue ${this.#name}`, version: (await this.#queue.getVersion()) ?? 'unknown' };
  }

  async run(
    step: RebuildStep,
    parents: ReadonlyMap<string, BuiltImage>,
    options: StepOptions = {},
  ): Promise<RebuildOutcome> {
    const { signal, onLog } = options;
    signal?.throwIfAborted();
    const startedAt = performance.now();
    const data = toJob(step, parents, options);
    const id = jobId(data);
    const own = `${this.#caller}/${randomUUID()}`;
    const wait = new Wait(this.#pollMs, onLog, signal);
    this.#waiting.set(id, (this.#waiting.get(id) ?? new Set()).add(wait));
    try {
      return await this.#follow(id, own, data, wait);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (this.#closed) {
        throw new CoreError('QUEUE_UNREACHABLE', `the queue was closed while ${step.id} was waited for`, {
          hint: 'Close it after rebuild() has ended; with `await using`, write `return await rebuild(...)`.',
          cause: error,
        });
      }
      if (!(error instanceof CoreError)) throw error;
      const durationMs = Math.round(performance.now() - startedAt);
      const { code, message } = error;
      return { step: step.id, status: 'failed', code, message, log: [], durationMs };
    } finally {
      wait.end();
      this.#forget(id, wait);
      const left = this.#interest.remove(id, own).catch(() => true);
      // After an abort not waited for: Redis may be away, and the caller wants to go.
      if (signal?.aborted === true) void left.then((wanted) => (wanted ? undefined : this.#remove(id)));
      else await left;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const closing = Promise.allSettled([this.#queue.close(), this.#events.close()]);
    // BullMQ would wait for a Redis that is away.
    if (this.#redis.status === 'ready') await closing;
    this.#redis.disconnect();
    this.#listening.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Puts the step into the queue unless it is there, and waits for its end; again when it was lost on the way. */
  async #follow(id: string, own: string, data: StepJob, wait: Wait): Promise<RebuildOutcome> {
    // What an earlier run left: whether its image is still there, only the registry knows.
    await wait.unlessAborted(this.#removeFinished(id));
    for (let submission = 0; submission < MAX_SUBMISSIONS; submission += 1) {
      await wait.unlessAborted(this.#interest.add(id, own));
      await wait.unlessAborted(this.#queue.add(data.step.id, data, { jobId: id, ...KEPT }));
      const job = await this.#finished(id, own, wait);
      if (job?.failedReason !== undefined && job.failedReason !== UNWANTED) {
        throw new CoreError('WORKER_LOST', `${data.step.id} was not built: ${job.failedReason}`, {
          hint: 'Look at the logs of the workers.',
        });
      }
      if (job !== undefined && job.failedReason === undefined)
        return parseOutcome(data.step, job.returnvalue);
      await wait.unlessAborted(this.#removeFinished(id));
    }
    throw new CoreError('WORKER_LOST', `${data.step.id}: its job disappeared ${MAX_SUBMISSIONS} times`, {
      hint: 'Something else empties the queue, or Redis evicts: set maxmemory-policy to noeviction.',
    });
  }

  /** The job once it is finished, or undefined when it is not in the queue. */
  async #finished(id: string, own: string, wait: Wait): Promise<Job<StepJob, RebuildOutcome> | undefined> {
    for (let told = performance.now(); ; ) {
      if (performance.now() - told >= this.#refreshMs) {
        await wait.unlessAborted(this.#interest.add(id, own));
        told = performance.now();
      }
      const next = wait.next();
      const job = await wait.unlessAborted(this.#queue.getJob(id));
      if (job === undefined || job.finishedOn !== undefined) return job;
      await wait.unlessAborted(next);
    }
  }

  async #removeFinished(id: string): Promise<void> {
    const job = await this.#queue.getJob(id);
    if (job?.finishedOn !== undefined) await this.#remove(id);
  }

  /** A job a worker has in hand stays. */
  async #remove(id: string): Promise<void> {
    await this.#queue.remove(id).catch(() => {});
  }

  #tell(id: string, tell: (wait: Wait) => void): void {
    for (const wait of this.#waiting.get(id) ?? []) tell(wait);
  }

  #forget(id: string, wait: Wait): void {
    const waits = this.#waiting.get(id);
    waits?.delete(wait);
    if (waits?.size === 0) this.#waiting.delete(id);
  }
}
