import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type Job, UnrecoverableError, Worker } from 'bullmq';
import { CoreError } from '../../errors.ts';
import { type PlanTarget, scratchPrefixOf } from '../plan/plan-rebuild.ts';
import { runStep, type StepTools } from '../run-step.ts';
import type { RebuildOutcome } from '../types.ts';
import { answers, openConnection, PREFIX, QUEUE, type QueueConnection } from './connection.ts';
import { Interest } from './interest.ts';
import { parseJob, type StepJob, type StepProgress, UNWANTED } from './message.ts';

/** Options of {@link startStepWorker}. */
export interface StepWorkerOptions extends QueueConnection, StepTools {
  /**
   * The target its callers plan for: a job whose image is to be pushed elsewhere than below its scratch prefix is refused.
   * Without it whoever can write to the queue has images pushed wherever this worker's credentials reach.
   * @defaultValue anywhere
   */
  readonly target?: PlanTarget;
  /** Builds at the same time. @defaultValue 1 */
  readonly concurrency?: number;
  /** Shown in the queue. @defaultValue host name and process id */
  readonly name?: string;
  /**
   * How long a worker may be silent before another takes its build over, in milliseconds. It speaks every half of that,
   * so a process whose event loop stands still for longer has its build done twice.
   * @defaultValue 30000
   */
  readonly lockMs?: number;
  /** Time Redis has to answer at the start, in milliseconds. @defaultValue 10000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called when the queue or a job of it is not as it should be; the worker goes on. */
  readonly onError?: (error: Error) => void;
}

/** A running worker. Made by {@link startStepWorker}. */
export interface StepWorker extends AsyncDisposable {
  readonly name: string;
  /** Takes no more steps, and resolves when those it has are done. */
  close(): Promise<void>;
}

/** Times a build whose worker died is given to another, before it counts as the build's own doing. */
const MAX_TAKEOVERS = 5;
/** Between looks whether a build is still wanted, and between tellings of the log. */
const LOOK_MS = 1000;
const TELL_MS = 200;
/** Lines told at a time; the newest. */
const TELL_LINES = 200;

/**
 * Takes steps from a queue, builds them on its own engine and pushes what comes out. Start one per engine, on as many
 * machines as there are. A worker that is killed loses nothing: another takes its step over, and takes the image from the
 * registry when it was pushed already.
 *
 * @throws CoreError `QUEUE_UNREACHABLE`, `ENGINE_UNREACHABLE`
 */
export async function startStepWorker(options: StepWorkerOptions): Promise<StepWorker> {
  const { queue = QUEUE, prefix = PREFIX, lockMs = 30_000, timeoutMs = 10_000, signal } = options;
  const { name = `${hostname()}-${process.pid}` } = options;
  const redis = openConnection(options);
  try {
    await answers(redis, timeoutMs, signal);
    await options.builder.probe({ signal });
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  const interest = new Interest(redis, `${prefix}:${queue}`);
  const worker = new Worker<StepJob, RebuildOutcome>(queue, (job) => work(job, name, interest, options), {
    connection: redis,
    prefix,
    name,
    concurrency: options.concurrency ?? 1,
    lockDuration: lockMs,
    stalledInterval: lockMs / 2,
    maxStalledCount: MAX_TAKEOVERS,
  });
  worker.on('error', (error) => options.onError?.(error));
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= worker.close().then(() => {
      redis.disconnect();
      return options.builder.release?.();
    });
    return closed;
  };
  return { name, close, [Symbol.asyncDispose]: close };
}

async function work(
  job: Job<StepJob, RebuildOutcome>,
  worker: string,
  interest: Interest,
  options: StepWorkerOptions,
): Promise<RebuildOutcome> {
  const { step, parents, reuse, attempts } = readJob(job, options.target);
  const unwanted = new CoreError('WORKER_LOST', UNWANTED);
  const stop = new AbortController();
  const done = new AbortController();
  const told = new Telling(job, worker, options.onError);
  void stopWhenUnwanted(job.id ?? '', interest, stop, unwanted, done.signal).catch(() => {});
  try {
    return await runStep(step, new Map(parents), {
      builder: options.builder,
      host: options.host,
      incompleteContext: options.incompleteContext,
      mirrors: options.mirrors,
      reuse,
      attempts,
      signal: stop.signal,
      onLog: (text) => told.say(text),
    });
  } catch (error) {
    // Nothing a second try on another machine would mend.
    throw new UnrecoverableError(error instanceof Error ? error.message : String(error));
  } finally {
    done.abort();
    await told.end();
  }
}

function readJob(job: Job, allowed: StepWorkerOptions['target']): StepJob {
  try {
    const read = parseJob(job.data);
    const { registry, repository } = read.step.scratch;
    if (
      allowed === undefined ||
      (registry === allowed.registry && repository.startsWith(`${scratchPrefixOf(allowed)}/`))
    ) {
      return read;
    }
    const place = `${allowed.registry}/${scratchPrefixOf(allowed)}`;
    throw new CoreError(
      'QUEUE_INVALID',
      `a job is for ${registry}/${repository}, this worker pushes to ${place}`,
    );
  } catch (error) {
    throw new UnrecoverableError((error as Error).message);
  }
}

async function stopWhenUnwanted(
  id: string,
  interest: Interest,
  stop: AbortController,
  reason: Error,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal });
    if (!(await interest.has(id))) return stop.abort(reason);
  }
}

/** Tells the log in parcels, so that a chatty build does not flood the queue. Lost lines lose nothing else. */
class Telling {
  readonly #job: Job;
  readonly #worker: string;
  readonly #onError: ((error: Error) => void) | undefined;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(job: Job, worker: string, onError: ((error: Error) => void) | undefined) {
    this.#job = job;
    this.#worker = worker;
    this.#onError = onError;
  }

  say(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > TELL_LINES) this.#lines.shift();
    this.#timer ??= setTimeout(() => this.#send(), TELL_MS);
  }

  /** Sends what is left. */
  end(): Promise<void> {
    if (this.#timer !== undefined) this.#send();
    return this.#sending;
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const progress: StepProgress = { worker: this.#worker, lines: this.#lines };
    this.#lines = [];
    this.#sending = this.#sending
      .then(() => this.#job.updateProgress(progress))
      .catch((error: Error) => this.#onError?.(error));
  }
}
