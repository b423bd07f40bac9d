import { disagreementBelow } from '../compare/disagreement.ts';
import { CoreError, type Gap } from '../errors.ts';
import type { Lineage } from '../lineage/types.ts';
import { publicServices } from '../provenance/public-services.ts';
import { attestRebuild } from '../rebuild/attest/attest-rebuild.ts';
import { doubleBuilder } from '../rebuild/double-build.ts';
import { planRebuild } from '../rebuild/plan/plan-rebuild.ts';
import { rebuild } from '../rebuild/rebuild.ts';
import { localRunner } from '../rebuild/run-step.ts';
import type { BuiltImage, RebuildPlan, RebuildResult, StepRunner } from '../rebuild/types.ts';
import { gapOf } from './gap-of.ts';
import type { RebuildTarget, VetEvent, VetOptions, VetStage } from './types.ts';

export interface Build {
  readonly plan?: RebuildPlan;
  readonly result?: RebuildResult;
  readonly gaps: readonly Gap[];
}

export async function rebuildLineage(
  lineage: Lineage,
  options: VetOptions,
  report: (event: VetEvent) => void,
): Promise<Build> {
  const skip = (stage: VetStage, gap: Gap, plan?: RebuildPlan): Build => {
    report({ type: 'stage-skipped', stage, reason: gap.message });
    return { ...(plan === undefined ? {} : { plan }), gaps: [gap] };
  };
  if (options.target === undefined) {
    const hint = 'Name the registry rebuilt images go to: target.';
    return skip('plan', notRebuilt('NO_TARGET', 'no internal registry was named; nothing was rebuilt', hint));
  }
  report({ type: 'stage-started', stage: 'plan' });
  const plan = planned(lineage, options.target);
  if ('stage' in plan) return skip('plan', plan);
  report({ type: 'stage-finished', stage: 'plan', summary: `${plan.steps.length} images to rebuild` });
  const runner = runnerOf(options, options.target);
  if (runner === undefined) {
    return skip(
      'rebuild',
      notRebuilt(
        'NO_BUILDER',
        'no builder was given; the rebuild is planned only',
        'Give a builder: dockerEngineBuilder() for a Docker Engine, or a runner.',
      ),
      plan,
    );
  }
  report({ type: 'stage-started', stage: 'rebuild' });
  try {
    const result = await rebuild(plan, {
      runner,
      concurrency: options.concurrency,
      signal: options.signal,
      onProgress: report,
    });
    const built = result.outcomes.filter((outcome) => outcome.status === 'built').length;
    report({
      type: 'stage-finished',
      stage: 'rebuild',
      summary: `${built} of ${plan.steps.length} images rebuilt`,
    });
    return { plan, result, gaps: await attest(plan, result, options.target, options.signal) };
  } catch (error) {
    return skip('rebuild', gapOf('rebuild', error, options.signal), plan);
  }
}

/** Without a name for every image nothing is built: a gap, as the lineage and its audit stand. */
function planned(lineage: Lineage, target: RebuildTarget): RebuildPlan | Gap {
  try {
    return planRebuild([lineage], { target });
  } catch (error) {
    const isName = error instanceof CoreError && /^NAME_/.test(error.code);
    if (isName) return gapOf('rebuild', error, undefined);
    throw error;
  }
}

function runnerOf(options: VetOptions, target: RebuildTarget): StepRunner | undefined {
  const { builder, doubleBuild, runner } = options;
  if (runner !== undefined || builder === undefined) return runner;
  const registry = target.client;
  const gated =
    doubleBuild === undefined
      ? builder
      : doubleBuilder(builder, { registry, disagreement: disagreementBelow(doubleBuild, registry) });
  const { host = publicServices().host, incompleteContext, mirrors } = options;
  return localRunner({ builder: gated, host, incompleteContext, mirrors });
}

/** What was built stays, also where nothing can be written down beside it. */
async function attest(
  plan: RebuildPlan,
  result: RebuildResult,
  { client }: RebuildTarget,
  signal: AbortSignal | undefined,
): Promise<readonly Gap[]> {
  try {
    await attestRebuild(plan, result, { registry: client, signal });
    return [];
  } catch (error) {
    return [gapOf('rebuild', error, signal)];
  }
}

export function builtImages(result: RebuildResult | undefined): ReadonlyMap<string, BuiltImage> {
  return new Map(
    (result?.outcomes ?? []).flatMap((outcome) =>
      outcome.status === 'built' ? [[outcome.step, outcome.image] as const] : [],
    ),
  );
}

function notRebuilt(code: string, message: string, hint: string): Gap {
  return { stage: 'rebuild', code, message, hint };
}
