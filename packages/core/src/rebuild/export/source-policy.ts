import { pinnedInput } from '../plan/pin-inputs.ts';
import type { RebuildPlan, RebuildResult } from '../types.ts';

/** A source policy as BuildKit reads it. @see moby/buildkit, sourcepolicy/pb/policy.proto */
export interface SourcePolicy {
  readonly version: 1;
  readonly rules: readonly SourcePolicyRule[];
}

/** One rule; the last one that matches decides. */
export interface SourcePolicyRule {
  readonly action: 'ALLOW' | 'DENY' | 'CONVERT';
  /** A pattern: `*` stands for anything. */
  readonly selector: { readonly identifier: string };
  readonly updates?: { readonly identifier: string };
}

/** What carries a build's own context and Dockerfile. */
const CONTEXTS = ['local://*', 'http://buildkit-session/*', 'oci-layout://*'];

/**
 * Writes a plan, as far as it was run, as a source policy: each public image becomes the rebuilt or pinned one, and nothing
 * else may be fetched. For builds of unchanged Dockerfiles with `docker buildx build` (`EXPERIMENTAL_BUILDKIT_SOURCE_POLICY`)
 * or `buildctl --source-policy-file`.
 *
 * Engines before Docker 23 ignore policies without a word.
 */
export function toSourcePolicy(plan: RebuildPlan, result: RebuildResult): SourcePolicy {
  const images = new Map(
    result.outcomes.flatMap((outcome) =>
      outcome.status === 'built' ? [[outcome.step, outcome.image.reference]] : [],
    ),
  );
  const pins = new Map<string, string>();
  for (const input of plan.steps.flatMap(({ inputs }) => inputs)) {
    const pin = pinnedInput(input, (step) => images.get(step));
    if (pin !== undefined) pins.set(`docker-image://${input.reference}`, `docker-image://${pin}`);
  }
  const allow = (identifier: string): SourcePolicyRule => ({ action: 'ALLOW', selector: { identifier } });
  return {
    version: 1,
    rules: [
      { action: 'DENY', selector: { identifier: '*' } },
      ...CONTEXTS.map(allow),
      ...[...new Set(pins.values())].sort().map(allow),
      // A pattern, not an exact match: BuildKit takes an exact match that converts for a match that changes nothing.
      ...[...pins].sort().map(
        ([identifier, pin]): SourcePolicyRule => ({
          action: 'CONVERT',
          selector: { identifier },
          updates: { identifier: pin },
        }),
      ),
    ],
  };
}
