import { formatReference } from '@imagevet/registry';
import { canonicalJson } from '../canonical-json.ts';
import { CoreError } from '../errors.ts';
import { Exceptions } from './exceptions.ts';
import { type FactsView, order, viewFacts } from './facts-view.ts';
import { parseException, parsePolicy, policyDigest } from './parse.ts';
import type { Failure, RuleAnswer, RuleCheck } from './rule.ts';
import { mismatchOf } from './rules/rebuild-complete.ts';
import { RULES } from './rules/rule-set.ts';
import type { Facts, Policy, PolicyException, PolicyRule, Reason, Verdict } from './types.ts';

/**
 * Decides whether an image may run. Pure: no clock, no network, no environment; the same arguments give the
 * same verdict on a laptop, in CI and at admission, and on replay for any past time.
 *
 * Allowed is only what every rule of the policy passes, or a named exception waives, and what was rebuilt:
 * `pinned` is the rebuilt image by digest. A rule that could not be checked counts as failed, and a policy
 * without rules denies.
 *
 * @param effectiveTime - The time exceptions are held against.
 * @throws {@link CoreError} `INVALID_POLICY` for a policy or exception that {@link parsePolicy} or
 * {@link parseException} would refuse; `INVALID_OPTIONS` for an invalid time.
 */
export function evaluate(
  policy: Policy,
  exceptions: readonly PolicyException[],
  facts: Facts,
  effectiveTime: Date,
): Verdict {
  if (Number.isNaN(effectiveTime.getTime())) {
    throw new CoreError(
      'INVALID_OPTIONS',
      'cannot evaluate the policy: the effective time is not a valid date',
    );
  }
  // Data from a program gets the strictness of data from a file.
  const checked = parsePolicy(canonicalJson(policy));
  const waivers = exceptions.map((exception) => parseException(canonicalJson(exception)));
  const view = viewFacts(facts);
  const applied = new Exceptions(waivers, view, effectiveTime);
  const pinned = pin(view);
  const reasons = [
    ...(checked.rules.length === 0 ? [NO_RULES] : []),
    ...checked.rules.flatMap((rule) => reasonsOf(rule, view, applied)),
    typeof pinned === 'string' ? PINNED : applied.apply('pinned', pinned),
  ];
  const allowed = reasons.every(({ outcome }) => outcome === 'pass' || outcome === 'waived');
  return {
    decision: allowed ? 'allow' : 'deny',
    complete: view.gaps.length === 0 && !reasons.some(({ outcome }) => outcome === 'error'),
    requested: facts.requested,
    ...(allowed && typeof pinned === 'string' ? { pinned } : {}),
    reasons,
    gaps: view.gaps,
    exceptions: applied.uses,
    policy: { name: checked.name, digest: policyDigest(checked) },
    effectiveTime: effectiveTime.toISOString(),
  };
}

const NO_RULES: Reason = {
  rule: 'policy',
  outcome: 'fail',
  code: 'policy.no-rules',
  message: 'the policy has no rules, and what no rule allows is denied',
  remediation: 'Write down what must hold; the default policy is a start.',
};

const PINNED: Reason = {
  rule: 'pinned',
  outcome: 'pass',
  code: 'pinned.rebuilt',
  message: 'the rebuilt image is known by digest',
};

function reasonsOf(rule: PolicyRule, view: FactsView, applied: Exceptions): readonly Reason[] {
  const result = check(rule, view);
  if ('code' in result) return [{ rule: rule.rule, outcome: 'pass', ...result }];
  return result
    .toSorted(
      (a, b) =>
        view.rank(a.node) - view.rank(b.node) ||
        order(a.code, b.code) ||
        order(a.term ?? '', b.term ?? '') ||
        order(a.message, b.message),
    )
    .map((failure) => applied.apply(rule.rule, failure));
}

function check(rule: PolicyRule, view: FactsView): RuleAnswer {
  // The table pairs each name with the check of that name's parameters.
  return (RULES[rule.rule] as RuleCheck<PolicyRule>).check(rule, view);
}

/** Code of the gap that says that what was admitted is not where it is to be run from. */
export const NOT_PROMOTED = 'NOT_PROMOTED';

/** The rebuilt image asked about, by digest, or why there is none to run. */
function pin(view: FactsView): string | Failure {
  const { lineage, plan, rebuild } = view.facts;
  const root = view.node(lineage.root);
  const [step, ...otherSteps] = view.steps(lineage.root);
  const [outcome, ...otherOutcomes] = view.outcomes(lineage.root);
  const sole = otherSteps.length === 0 && otherOutcomes.length === 0 && rebuild?.plan === plan?.id;
  if (root === undefined || step === undefined || outcome?.status !== 'built' || !sole) {
    return {
      outcome: 'error',
      code: 'pinned.nothing-rebuilt',
      message: 'there is nothing to run: the image was not rebuilt',
      remediation: 'Rebuild it; a public image itself is never allowed.',
      final: true,
    };
  }
  const mismatch = mismatchOf(root, step, outcome);
  if (mismatch !== undefined) return { ...mismatch, code: 'pinned.mismatch' };
  const left = view.reportedGaps.find(({ code }) => code === NOT_PROMOTED);
  if (left !== undefined)
    return { outcome: 'error', code: 'pinned.not-promoted', message: left.message, final: true };
  const unsigned = view.reportedGaps.find(({ stage }) => stage === 'trust');
  if (unsigned !== undefined) {
    return {
      outcome: 'error',
      code: 'pinned.not-signed',
      message: `a signature was asked for and could not be made: ${unsigned.message} (${unsigned.code})`,
      ...(unsigned.hint === undefined ? {} : { remediation: unsigned.hint }),
      final: true,
    };
  }
  const { registry, repository } = step.target;
  return formatReference({ registry, repository, digest: outcome.image.descriptor.digest });
}
