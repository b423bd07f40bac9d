import pLimit from 'p-limit';
import { CoreError } from '../errors.ts';
import { checkPlanId } from './plan/plan-id.ts';
import { localRunner, type StepTools } from './run-step.ts';
import type {
  BuiltImage,
  RebuildEvent,
  RebuildOutcome,
  RebuildPlan,
  RebuildResult,
  RebuildStep,
  StepOptions,
  StepRunner,
} from './types.ts';

/** Options of {@link rebuild}. */
export type RebuildOptions = Omit<StepOptions, 'onLog'> &
  (StepTools | { readonly runner: StepRunner }) & {
    /** Steps at the same time. @defaultValue what the runner can take; 2 in this process */
    readonly concurrency?: number;
    /** After a failure, builds whatever does not stand on it; false starts nothing more. @defaultValue true */
    readonly keepGoing?: boolean;
    readonly onProgress?: (event: RebuildEvent) => void;
  };

/**
 * Runs a plan: each image is built from its source onto the rebuilt images before it, and pushed. A step that fails skips
 * only what is built on it. What is pushed is the journal: a run that was killed continues where it was.
 *
 * @throws {@link CoreError} `ENGINE_UNREACHABLE` when no engine answers, before anything is built; `PLAN_INVALID` for a plan
 * out of order, or that is not the one its id names; `QUEUE_UNREACHABLE` when the steps run on a queue that does not answer. Aborting stops the builds in flight and rejects with `signal.reason`.
 */
export async function rebuild(plan: RebuildPlan, options: RebuildOptions): Promise<RebuildResult> {
  options.signal?.throwIfAborted();
  const runner = 'runner' in options ? options.runner : localRunner(options);
  const { concurrency = runner.concurrency ?? 2, attempts = 3 } = options;
  for (const [name, value] of Object.entries({ concurrency, attempts })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new CoreError('INVALID_OPTIONS', `${name} is ${value}, expected a positive whole number`);
    }
  }
  const run = new Run(plan, runner, concurrency, options);
  const { name, version } = await runner.probe({ signal: options.signal });
  try {
    return { plan: plan.id, engine: { name, version }, outcomes: await run.outcomes() };
  } finally {
    await runner.release?.();
  }
}

class Run {
  readonly #plan: RebuildPlan;
  readonly #runner: StepRunner;
  readonly #concurrency: number;
  readonly #options: RebuildOptions;
  readonly #running = new Map<string, Promise<RebuildOutcome>>();
  /** Stops everything when a step throws what is no outcome. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #started = 0;
  #failed: string | undefined;

  constructor(plan: RebuildPlan, runner: StepRunner, concurrency: number, options: RebuildOptions) {
    this.#plan = plan;
    this.#runner = runner;
    this.#concurrency = concurrency;
    this.#options = options;
    this.#signal = AbortSignal.any([
      this.#stop.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    checkPlanId(plan);
    const earlier = new Set<string>();
    for (const { id, inputs } of plan.steps) {
      const early = inputs.find(({ step }) => step !== undefined && !earlier.has(step));
      if (early !== undefined || earlier.has(id)) {
        throw new CoreError('PLAN_INVALID', `${id} stands twice in the plan, or before ${early?.reference}`);
      }
      earlier.add(id);
    }
  }

  async outcomes(): Promise<readonly RebuildOutcome[]> {
    const limit = pLimit(this.#concurrency);
    for (const step of this.#plan.steps) {
      const outcome = this.#await(step, (run) => limit(run)).catch((error: unknown) => {
        this.#stop.abort(error);
        throw error;
      });
      outcome.catch(() => {});
      this.#running.set(step.id, outcome);
    }
    const settled = await Promise.allSettled(this.#running.values());
    // The first reason, not the aborts that followed from it.
    this.#signal.throwIfAborted();
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  /** Waits for its inputs without holding a slot: waiting inside the limit would keep the slot they need. */
  async #await(
    step: RebuildStep,
    inSlot: (run: () => Promise<RebuildOutcome>) => Promise<RebuildOutcome>,
  ): Promise<RebuildOutcome> {
    const inputs = await Promise.all(
      step.inputs.flatMap((input) => this.#running.get(input.step ?? '') ?? []),
    );
    const blockedBy = new Set(inputs.flatMap((input) => (input.status === 'built' ? [] : [input.step])));
    const parents = new Map(
      inputs.flatMap((input) => (input.status === 'built' ? [[input.step, input.image]] : [])),
    );
    const outcome =
      blockedBy.size > 0 ? skipped(step, [...blockedBy]) : await inSlot(() => this.#start(step, parents));
    this.#options.onProgress?.(finished(outcome));
    return outcome;
  }

  /** Holds a slot. */
  async #start(step: RebuildStep, parents: ReadonlyMap<string, BuiltImage>): Promise<RebuildOutcome> {
    this.#signal.throwIfAborted();
    if (this.#failed !== undefined) return skipped(step, [this.#failed]);
    const total = this.#plan.steps.length;
    this.#options.onProgress?.({ type: 'step-started', step: step.id, index: this.#started, total });
    this.#started += 1;
    const { reuse, attempts, onProgress } = this.#options;
    const onLog = (text: string) => onProgress?.({ type: 'step-log', step: step.id, text });
    const outcome = await this.#runner.run(step, parents, { reuse, attempts, onLog, signal: this.#signal });
    if (outcome.status === 'failed' && this.#options.keepGoing === false) this.#failed ??= step.id;
    return outcome;
  }
}

function finished(outcome: RebuildOutcome): RebuildEvent {
  const { step, status } = outcome;
  if (outcome.status !== 'failed') return { type: 'step-finished', step, status };
  const { code, message, line } = outcome;
  return { type: 'step-finished', step, status, code, message, ...(line === undefined ? {} : { line }) };
}

function skipped(step: RebuildStep, blockedBy: readonly string[]): RebuildOutcome {
  return { step: step.id, status: 'skipped', blockedBy };
}
