import { type Digest, digestOf } from '@imagevet/registry';
import { canonicalJson } from '../../canonical-json.ts';
import { CoreError } from '../../errors.ts';
import type { RebuildPlan } from '../types.ts';

/** The id of a plan: sha256 of what it builds, in RFC 8785 form. Who approved an id approved these steps and no others. */
export function planId({ platform, steps }: Pick<RebuildPlan, 'platform' | 'steps'>): Digest {
  return digestOf(canonicalJson({ platform, steps }));
}

/** @throws {@link CoreError} `PLAN_INVALID` for a plan that is not the one its id names */
export function checkPlanId(plan: RebuildPlan): void {
  const actual = planId(plan);
  if (actual === plan.id) return;
  throw new CoreError('PLAN_INVALID', `the plan is not ${plan.id}, which it says it is`, {
    hint: 'It was changed after it was made. A plan changed on purpose gets the id planId() gives it, and is approved anew.',
    details: { expected: plan.id, actual },
  });
}
