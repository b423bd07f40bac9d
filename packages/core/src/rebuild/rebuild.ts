import { formatReference, ImagevetError, type OperationOptions } from '@imagevet/registry';
import pLimit from 'p-limit';
import { CoreError } from '../errors.ts';
import type { SourceHost } from '../lineage/types.ts';
import { readContext } from './context.ts';
import { substituteBases } from './substitute-bases.ts';
import type {
  Builder,
  BuiltImage,
  RebuildEvent,
  RebuildOutcome,
  RebuildPlan,
  RebuildResult,
  RebuildStep,
} from './types.ts';

/** Options of {@link rebuild}. */
export interface RebuildOptions extends OperationOptions {
  readonly builder: Builder;
  /** Reads the build contexts. */
  readonly host: SourceHost;
  /** Builds at the same time. @defaultValue 2 */
  readonly concurrency?: number;
  readonly onProgress?: (event: RebuildEvent) => void;
}

/** Log lines kept of a failed step. */
const LOG_LINES = 40;

/**
 * Runs a plan: each image is built from its source onto the rebuilt images before it, and pushed. A step that fails skips
 * only what is built on it.
 *
 * @throws {@link CoreError} `ENGINE_UNREACHABLE` when no engine answers, before anything is built. Aborting stops the builds
 * in flight and rejects with `signal.reason`.
 */
export async function rebuild(plan: RebuildPlan, options: RebuildOptions): Promise<RebuildResult> {
  const { signal } = options;
  signal?.throwIfAborted();
  const engine = await options.builder.probe({ signal });
  const limit = pLimit(options.concurrency ?? 2);
  const running = new Map<string, Promise<RebuildOutcome>>();
  let started = 0;
  for (const step of plan.steps) {
    // Dependencies are awaited outside the limit: waiting inside it would hold the slot they need.
    const outcome = async (): Promise<RebuildOutcome> => {
      const inputs = await Promise.all(step.inputs.flatMap((input) => running.get(input.step ?? '') ?? []));
      const blockedBy = inputs.flatMap((input) => (input.status === 'built' ? [] : [input.step]));
      if (blockedBy.length > 0) return { step: step.id, status: 'skipped', blockedBy };
      const parents = new Map(
        inputs.flatMap((input) => (input.status === 'built' ? [[input.step, input.image]] : [])),
      );
      return limit(async () => {
        signal?.throwIfAborted();
        options.onProgress?.({
          type: 'step-started',
          step: step.id,
          index: started,
          total: plan.steps.length,
        });
        started += 1;
        return runStep(step, parents, options);
      });
    };
    const promise = outcome().then((result) => {
      options.onProgress?.({ type: 'step-finished', step: step.id, status: result.status });
      return result;
    });
    promise.catch(() => {});
    running.set(step.id, promise);
  }
  const settled = await Promise.allSettled(running.values());
  if (signal?.aborted === true) throw signal.reason;
  const outcomes = settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
  return { plan: plan.id, engine: { name: engine.name, version: engine.version }, outcomes };
}

async function runStep(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
  options: RebuildOptions,
): Promise<RebuildOutcome> {
  const log: string[] = [];
  const startedAt = performance.now();
  const durationMs = () => Math.round(performance.now() - startedAt);
  try {
    const context = await readContext(options.host, step.location, { signal: options.signal });
    const image = await options.builder.build(
      {
        dockerfile: substituteBases(step.dockerfile, substitutionsOf(step, parents), {
          platform: step.platform,
        }),
        context,
        platform: step.platform,
        target: { ...step.target, tag: `build-${step.key.slice(0, 40)}` },
      },
      {
        signal: options.signal,
        onProgress: (event) => {
          if (event.type !== 'build-log') return;
          log.push(event.text);
          if (log.length > LOG_LINES) log.shift();
          options.onProgress?.({ type: 'step-log', step: step.id, text: event.text });
        },
      },
    );
    checkParent(step, parents, image);
    return { step: step.id, status: 'built', image, durationMs: durationMs() };
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (!ImagevetError.is(error)) throw error;
    const line = error.details?.line;
    return {
      step: step.id,
      status: 'failed',
      code: error.code,
      message: error.message,
      ...(typeof line === 'number' ? { line } : {}),
      log,
      durationMs: durationMs(),
    };
  }
}

/** Each input by digest: the rebuilt image, or the public one the plan pins. */
function substitutionsOf(
  step: RebuildStep,
  parents: ReadonlyMap<string, BuiltImage>,
): ReadonlyMap<string, string> {
  return new Map(
    step.inputs.map(({ reference, step: parent, pinned }) => {
      const built = parent === undefined ? undefined : parents.get(parent);
      if (built !== undefined) return [reference, formatReference({ ...built.reference, tag: undefined })];
      if (pinned !== undefined)
        return [reference, `${reference.replace(/@.*$/, '').replace(/:[^:/]*$/, '')}@${pinned}`];
      throw new CoreError(
        'PLAN_INVALID',
        `${step.id} needs ${reference}, which the plan neither builds nor pins`,
      );
    }),
  );
}

/** What was built must stand on what it was told to stand on. */
function checkParent(step: RebuildStep, parents: ReadonlyMap<string, BuiltImage>, image: BuiltImage): void {
  const base = step.inputs.find(({ kind }) => kind === 'base');
  const parent = base?.step === undefined ? undefined : parents.get(base.step);
  if (parent === undefined || parent.diffIds.every((diffId, index) => image.diffIds[index] === diffId))
    return;
  throw new CoreError('BUILD_FAILED', `${step.id} was not built on the rebuilt ${base?.reference}`, {
    hint: 'The engine used another base than the digest it was given.',
  });
}
