import type { OperationOptions } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import { defaultPolicy } from '../policy/default-policy.ts';
import { evaluate, NOT_PROMOTED } from '../policy/evaluate.ts';
import type { Facts } from '../policy/types.ts';
import { promoteRebuilt } from '../rebuild/promote-rebuilt.ts';
import type { Endorsement, VetReport } from '../report/types.ts';
import { type Endorsable, endorse } from './endorse.ts';
import { gapOf } from './gap-of.ts';
import { type Build, builtImages } from './rebuild-lineage.ts';
import type { RebuildTarget, VetEvent, VetOptions } from './types.ts';

/**
 * Decides, and signs what was admitted. A signature that was asked for and could not be made is a gap, and the decision is
 * taken again with it: nothing is allowed unsigned that was to be signed, and nothing is signed that was not allowed.
 */
export async function decide(
  facts: Facts,
  build: Build,
  options: VetOptions,
  context: { readonly now: Date; readonly report: (event: VetEvent) => void },
): Promise<Pick<VetReport, 'verdict' | 'endorsements' | 'gaps'>> {
  const { report } = context;
  const judge = (evidence: Facts) =>
    evaluate(options.policy ?? defaultPolicy, options.exceptions ?? [], evidence, context.now);
  report({ type: 'stage-started', stage: 'policy' });
  const verdict = judge(facts);
  report({ type: 'stage-finished', stage: 'policy', summary: verdict.decision });
  if (options.target === undefined || verdict.decision !== 'allow') {
    const reason = 'the policy did not admit the image';
    for (const stage of ['promote', 'endorse'] as const) report({ type: 'stage-skipped', stage, reason });
    return { verdict, endorsements: [], gaps: facts.gaps };
  }
  const left = await promote(build, { ...options.target, signal: options.signal }, report);
  if (left !== undefined) {
    const gaps = [...facts.gaps, left];
    report({ type: 'stage-skipped', stage: 'endorse', reason: left.message });
    return { verdict: judge({ ...facts, gaps }), endorsements: [], gaps };
  }
  if (options.trust === undefined) {
    report({ type: 'stage-skipped', stage: 'endorse', reason: 'no signing keys were given' });
    return { verdict, endorsements: [], gaps: facts.gaps };
  }
  report({ type: 'stage-started', stage: 'endorse' });
  try {
    const endorsements = await endorse(endorsable(build), {
      ...options.trust,
      registry: options.target.client,
      signal: options.signal,
      now: () => context.now,
    });
    report({ type: 'stage-finished', stage: 'endorse', summary: describeEndorsements(endorsements) });
    return { verdict, endorsements, gaps: facts.gaps };
  } catch (error) {
    const gap = gapOf('trust', error, options.signal);
    report({ type: 'stage-skipped', stage: 'endorse', reason: gap.message });
    const gaps = [...facts.gaps, gap];
    return { verdict: judge({ ...facts, gaps }), endorsements: [], gaps };
  }
}

/** Puts what was admitted where it is run from. @returns why it is not there, when it is not */
async function promote(
  { plan, result }: Build,
  { client, signal }: Pick<RebuildTarget, 'client'> & OperationOptions,
  report: (event: VetEvent) => void,
): Promise<Gap | undefined> {
  report({ type: 'stage-started', stage: 'promote' });
  try {
    const promoted =
      plan === undefined || result === undefined
        ? []
        : await promoteRebuilt(plan, result, { registry: client, signal });
    report({ type: 'stage-finished', stage: 'promote', summary: `${promoted.length} images admitted` });
    return undefined;
  } catch (error) {
    const { code, message, ...gap } = gapOf('rebuild', error, signal);
    const why = `what was admitted could not be put where it is run from: ${message} (${code})`;
    report({ type: 'stage-skipped', stage: 'promote', reason: why });
    return { ...gap, code: NOT_PROMOTED, message: why };
  }
}

function endorsable({ plan, result }: Build): readonly Endorsable[] {
  const built = builtImages(result);
  return (plan?.steps ?? []).flatMap(({ id, target }) => {
    const image = built.get(id);
    return image === undefined ? [] : [{ node: id, image, target }];
  });
}

function describeEndorsements(endorsements: readonly Endorsement[]): string {
  return `${endorsements.length} images signed and read back`;
}
