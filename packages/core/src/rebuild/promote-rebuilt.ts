import {
  copyImage,
  type Fetcher,
  type ImageReference,
  type OperationOptions,
  type Pusher,
  type ReferrerLister,
} from '@imagevet/registry';
import { IN_TOTO, isProvenance } from './attest/attest-rebuild.ts';
import type { BuiltImage, RebuildPlan, RebuildResult, RebuildStep } from './types.ts';

/** Statements about one image that are taken along. */
const MAX_STATEMENTS = 16;

/** Options of {@link promoteRebuilt}. */
export interface PromoteRebuiltOptions extends OperationOptions {
  /** The registry of the plan; what lists referrers has the provenance taken along. */
  readonly registry: Fetcher & Pusher & Partial<ReferrerLister>;
}

/** An image among those that were admitted. */
export interface PromotedImage {
  readonly step: string;
  /** Digest-qualified, in the repository of the step's target. */
  readonly reference: ImageReference;
}

/**
 * Puts every image a plan built where admitted images are, by digest and with its provenance. For after a verdict: what is in
 * that repository, people may be allowed to run. It gives no tag, and doing it again changes nothing.
 *
 * @throws {@link RegistryError} what copying can end with
 */
export async function promoteRebuilt(
  plan: RebuildPlan,
  result: RebuildResult,
  options: PromoteRebuiltOptions,
): Promise<readonly PromotedImage[]> {
  const built = new Map<string, BuiltImage>();
  for (const outcome of result.outcomes)
    if (outcome.status === 'built') built.set(outcome.step, outcome.image);
  const promoted: PromotedImage[] = [];
  for (const step of plan.steps) {
    const image = built.get(step.id);
    if (image !== undefined) promoted.push({ step: step.id, reference: await promote(step, image, options) });
  }
  return promoted;
}

async function promote(
  { target }: RebuildStep,
  { reference, descriptor }: BuiltImage,
  { registry, signal }: PromoteRebuiltOptions,
): Promise<ImageReference> {
  const copy = async (digest: BuiltImage['descriptor']['digest']) => {
    const to = { registry: target.registry, repository: target.repository, digest };
    const alone = { referrers: false, digestTags: false, signal };
    await copyImage({ ...reference, tag: undefined, digest }, to, {
      ...{ source: registry, destination: registry, ...alone },
    });
    return to;
  };
  const promoted = await copy(descriptor.digest);
  if (reference.registry === target.registry && reference.repository === target.repository) return promoted;
  let statements = 0;
  const asked = { artifactType: IN_TOTO, signal };
  for await (const found of registry.referrers?.(reference, descriptor.digest, asked) ?? []) {
    if (!isProvenance(found)) continue;
    statements += 1;
    if (statements > MAX_STATEMENTS) break;
    await copy(found.digest);
  }
  return promoted;
}
