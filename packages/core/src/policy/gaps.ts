import { canonicalJson } from '../canonical-json.ts';
import type { Gap } from '../errors.ts';
import type { LineageNode } from '../lineage/types.ts';
import type { Facts } from './types.ts';

const STAGES: readonly Gap['stage'][] = [
  'resolve',
  'provenance',
  'lineage',
  'audit',
  'rebuild',
  'compare',
  'trust',
];

/** The gaps the stages reported. */
export function reportedGaps(facts: Facts): readonly Gap[] {
  return [...facts.gaps, ...facts.lineage.gaps, ...(facts.plan?.gaps ?? [])];
}

/** Gaps once each, by stage, then from the image asked about down to its base. */
export function mergeGaps(gaps: readonly Gap[], rank: (node: string | undefined) => number): readonly Gap[] {
  const unique = new Map(gaps.map((gap) => [canonicalJson(gap), gap]));
  return [...unique]
    .sort(([a, x], [b, y]) => {
      const stage = STAGES.indexOf(x.stage) - STAGES.indexOf(y.stage);
      return stage || rank(x.node) - rank(y.node) || (a < b ? -1 : 1);
    })
    .map(([, gap]) => gap);
}

/**
 * The gaps that show only when all facts are laid together and that no stage reported. A caller that forgot to
 * report a gap does not get a complete verdict for it.
 */
export function impliedGaps(
  facts: Facts,
  nodes: readonly LineageNode[],
  reported: readonly Gap[],
): readonly Gap[] {
  const known = new Set(reported.map((gap) => key(gap.stage, gap.node)));
  return missing(facts, nodes).filter((gap) => !known.has(key(gap.stage, gap.node)));
}

function missing(facts: Facts, nodes: readonly LineageNode[]): readonly Gap[] {
  const gaps: Gap[] = [];
  for (const { id, image, dockerfile } of nodes) {
    if (image === undefined) {
      gaps.push(gap('resolve', 'IMAGE_NOT_SHOWN', 'no registry showed the image', id));
    }
    if (dockerfile.text === undefined && dockerfile.status !== 'imported') {
      gaps.push(gap('provenance', 'DOCKERFILE_NOT_READ', 'its Dockerfile was not read', id));
    } else if (dockerfile.reachability === 'unchecked') {
      const message = 'whether a branch or tag of its repository contains the commit was not checked';
      gaps.push(gap('provenance', 'REACHABILITY_UNCHECKED', message, id));
    }
  }
  if (facts.plan === undefined) gaps.push(gap('rebuild', 'REBUILD_NOT_PLANNED', 'no rebuild was planned'));
  if (facts.rebuild === undefined) {
    gaps.push(gap('rebuild', 'REBUILD_NOT_RUN', 'the rebuild was not run'));
    gaps.push(gap('compare', 'COMPARISON_NOT_RUN', 'nothing was rebuilt, so nothing was compared'));
    return gaps;
  }
  for (const node of nodes) {
    const { id } = node;
    if (Object.hasOwn(facts.comparisons, id)) continue;
    gaps.push(gap('compare', 'COMPARISON_MISSING', 'no rebuild was compared with the public image', id));
  }
  return gaps;
}

function gap(stage: Gap['stage'], code: string, message: string, node?: string): Gap {
  return { stage, code, message, ...(node === undefined ? {} : { node }) };
}

function key(stage: string, node: string | undefined): string {
  return `${stage} ${node ?? ''}`;
}
