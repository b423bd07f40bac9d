import { formatReference, type Repository } from '@imagevet/registry';
import type { LineageNode } from '../../lineage/types.ts';
import type { RebuildOutcome, RebuildStep } from '../../rebuild/types.ts';
import { type FactsView, nameOf } from '../facts-view.ts';
import { answer, type Failure, gapFailures, type RuleCheck } from '../rule.ts';

/** `rebuild.complete` */
export const rebuildComplete: RuleCheck<{ readonly rule: 'rebuild.complete' }> = {
  title: 'Every image of the lineage was rebuilt from its source',
  rationale:
    'Reading a Dockerfile says nothing about an image that was not built from it. The rebuilt family is the one whose every layer has a known origin.',
  check: (_rule, view) => {
    const { plan, rebuild } = view.facts;
    const gaps = gapFailures(view, ['rebuild'], 'rebuild.not-done', 'part of the rebuild was not done');
    if (plan === undefined || rebuild === undefined) {
      const message = plan === undefined ? 'no rebuild was planned' : 'the rebuild was planned but not run';
      // A gap about the whole rebuild says the same with its cause.
      if (gaps.some(({ node }) => node === undefined)) return gaps;
      return [{ outcome: 'error', code: 'rebuild.not-run', message, remediation: ENGINE }, ...gaps];
    }
    if (rebuild.plan !== plan.id) {
      const message = `the results belong to plan ${rebuild.plan}, not to ${plan.id}`;
      return [{ outcome: 'error', code: 'rebuild.other-plan', message, final: true }, ...gaps];
    }
    const failures = view.nodes.flatMap((node): Failure[] => {
      const problem = problemOf(node, view);
      return problem === undefined ? [] : [{ ...problem, node: node.id, term: nameOf(node) }];
    });
    return answer([...failures, ...gaps], 'rebuild.complete', 'every image was rebuilt from its source');
  },
};

const ENGINE = 'Run again where a Docker Engine answers.';

function problemOf(node: LineageNode, view: FactsView): Failure | undefined {
  const steps = view.steps(node.id);
  const outcomes = view.outcomes(node.id);
  const [step] = steps;
  const [outcome] = outcomes;
  if (step === undefined) {
    const message =
      node.dockerfile.status === 'imported'
        ? 'no step rebuilds it: it is taken over from an OCI layout as it is'
        : 'no step rebuilds it';
    return { outcome: 'error', code: 'rebuild.not-planned', message };
  }
  if (outcome === undefined)
    return { outcome: 'error', code: 'rebuild.no-result', message: 'its rebuild has no result' };
  if (steps.length > 1 || outcomes.length > 1) {
    return {
      outcome: 'error',
      code: 'rebuild.ambiguous',
      message: 'its rebuild has several results',
      final: true,
    };
  }
  switch (outcome.status) {
    case 'failed': {
      const at = outcome.line === undefined ? '' : ` at line ${outcome.line}`;
      return {
        outcome: 'fail',
        code: 'rebuild.failed',
        message: `its rebuild failed${at}: ${outcome.message} (${outcome.code})`,
      };
    }
    case 'skipped': {
      const message = `its rebuild was skipped, blocked by ${[...outcome.blockedBy].sort().join(', ')}`;
      return { outcome: 'fail', code: 'rebuild.skipped', message };
    }
    case 'built':
      return mismatchOf(node, step, outcome) ?? collisionOf(step, view) ?? inputOf(step, view);
  }
}

/** What the step was built from, held against what the lineage and the plan could have given it. */
function inputOf({ inputs }: RebuildStep, view: FactsView): Failure | undefined {
  for (const { kind, reference, step, pinned } of inputs) {
    // A frontend no digest names may be another program at the next build. Builders take such a line out; this plan did not.
    if (kind === 'frontend' && step === undefined && pinned === undefined) {
      const message = `it is to be built with the frontend ${reference}, which no digest names`;
      return { outcome: 'fail', code: 'rebuild.frontend-not-pinned', message, remediation: PIN };
    }
    if (kind === 'frontend') continue;
    const parent = view.nodes.find((node) => nameOf(node) === reference);
    if (parent === undefined || view.steps(parent.id).length === 0 || step === parent.id) continue;
    const message = `it is to be built from the public ${reference}, not from the rebuilt one`;
    return { outcome: 'fail', code: 'rebuild.input-not-rebuilt', message, remediation: PLAN };
  }
  return undefined;
}

const PIN = 'Name the frontend by digest in the # syntax= line.';
const PLAN = 'Plan again from this lineage, with planRebuild().';

/** Two images that were given one name: the second push takes the tag from the first. */
function collisionOf(step: RebuildStep, view: FactsView): Failure | undefined {
  const name = formatReference(step.target);
  const others = view.allSteps.filter(({ id, target }) => id !== step.id && formatReference(target) === name);
  if (others.length === 0) return undefined;
  const ids = others.map(({ id }) => id).sort();
  const message = `${name} is also the target of ${ids.join(', ')}`;
  return { outcome: 'fail', code: 'rebuild.shared-target', message, final: true };
}

/**
 * A rebuilt image that is not the one its plan and node speak of: nothing may be run or signed in its name.
 */
export function mismatchOf(
  node: LineageNode,
  step: RebuildStep,
  { image }: Extract<RebuildOutcome, { status: 'built' }>,
): Failure | undefined {
  const mismatch = (code: string, message: string): Failure => ({
    outcome: 'fail',
    code: `rebuild.${code}`,
    message,
    final: true,
  });
  const { reference, descriptor } = image;
  if (reference.digest === undefined || reference.digest !== descriptor.digest) {
    const named = reference.digest ?? 'no digest';
    return mismatch(
      'digest-mismatch',
      `the rebuilt reference names ${named}, the registry holds ${descriptor.digest}`,
    );
  }
  if (!isSameRepository(reference, step.scratch)) {
    const held = `${reference.registry}/${reference.repository}`;
    const planned = `${step.scratch.registry}/${step.scratch.repository}`;
    return mismatch('other-target', `it was pushed to ${held}, the plan says ${planned}`);
  }
  if ([reference, step.target].some((place) => isSameRepository(place, node.reference))) {
    return mismatch('not-internal', 'it was pushed to the repository of the public image itself');
  }
  const { layout, consistency } = node.dockerfile;
  if (step.layout !== undefined && (layout?.manifest !== descriptor.digest || consistency !== 'consistent')) {
    const held = layout?.manifest ?? 'none that was read';
    return mismatch('other-image', `${descriptor.digest} was taken over, its layout holds ${held}`);
  }
  if (step.original !== undefined && step.original !== node.image?.manifest.digest) {
    const shown = node.image?.manifest.digest ?? 'none';
    return mismatch('other-image', `the plan stands for ${step.original}, the lineage shows ${shown}`);
  }
  return undefined;
}

function isSameRepository(one: Repository, other: Repository): boolean {
  return one.registry === other.registry && one.repository === other.repository;
}
