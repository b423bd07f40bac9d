import { disagreementBelow, doubleBuilder, planRebuild, rebuild as runPlan } from '@imagevet/core';
import { formatReference } from '@imagevet/registry';
import { type Arguments, UsageError } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { builderOf, servicesOf, targetOf } from '../services.ts';
import { trace } from './lineage.ts';

/** `imagevet rebuild <image> --target HOST/PREFIX` */
export async function rebuild(args: Arguments, io: Io): Promise<number> {
  const target = targetOf(args, io);
  const once = builderOf(args, target);
  if (target === undefined || once === undefined) throw new UsageError('rebuild needs --target');
  const registry = target.client;
  const { doubleBuild: grade } = args;
  const builder =
    grade === undefined
      ? once
      : doubleBuilder(once, { registry, disagreement: disagreementBelow(grade, registry) });
  const plan = planRebuild([await trace(args, io)], { target });
  for (const gap of plan.gaps) io.stderr(`not planned: ${gap.message}\n`);
  const result = await runPlan(plan, {
    builder,
    host: servicesOf(args, io).host,
    concurrency: args.concurrency,
    mirrors: args.sourceMirrors,
    incompleteContext: args.incompleteContext,
    signal: io.signal,
    onProgress: (event) => {
      if (event.type === 'step-started')
        io.stderr(`building ${event.step} (${event.index + 1} of ${event.total})\n`);
      else if (event.type === 'step-log') io.stderr(`  ${event.text}\n`);
    },
  });
  if (args.format === 'json') io.stdout(`${JSON.stringify({ plan, result }, null, 2)}\n`);
  for (const outcome of args.format === 'json' ? [] : result.outcomes) {
    if (outcome.status === 'built')
      io.stdout(`${outcome.step} -> ${formatReference(outcome.image.reference)}\n`);
    else if (outcome.status === 'failed') io.stdout(`${outcome.step} failed: ${outcome.message}\n`);
    else io.stdout(`${outcome.step} skipped\n`);
  }
  const complete = plan.gaps.length === 0 && result.outcomes.every(({ status }) => status === 'built');
  return complete ? EXIT.allow : EXIT.error;
}
