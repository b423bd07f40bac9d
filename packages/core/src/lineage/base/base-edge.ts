import { absence } from '../dockerfile/listed.ts';
import type { NodeReading } from '../node/read-node.ts';
import type { EdgeEvidence, LineageConflict, LineageEdge, LineageNode } from '../types.ts';
import { baseConflict } from './base-conflict.ts';
import type { BaseTarget } from './base-target.ts';
import type { ParentSearch } from './find-parent.ts';
import { gradeEdge } from './grade-edge.ts';
import { digestsOf, type OwnBase } from './own-base.ts';

/** The edge from a node to its base, and what was said that does not agree with it. */
export interface BaseEdge {
  readonly edge: LineageEdge;
  readonly conflicts: readonly LineageConflict[];
  /** The digests that are known to stand for the base. */
  readonly digests: ReadonlySet<string>;
}

/** What is said of a parent by itself: that its name stands for no image of the platform. It refutes nothing that was built before. */
export function parentEvidence(parent: Pick<LineageNode, 'claims'> | undefined): readonly EdgeEvidence[] {
  const { problem, claim } = absence(parent?.claims ?? []);
  if (problem === undefined || claim === undefined) return [];
  const { kind, foundAt } = claim;
  return [{ kind, verdict: 'neutral', message: problem, foundAt }];
}

/** Holds a node against its base and against every other image that is named as it. */
export function baseEdge(
  node: LineageNode,
  reading: NodeReading,
  target: BaseTarget & { kind: 'image' },
  { to, own, search }: { readonly to: LineageNode; readonly own: OwnBase; readonly search: ParentSearch },
): BaseEdge {
  const { text, line, pinned, agreeing, inferred } = target;
  const { named, moved, tried } = search;
  const digests = digestsOf(own.image, named);
  const parent = own.image === undefined ? {} : { parent: own.image };
  const at = line === undefined ? {} : { line };
  const { grade, evidence } = gradeEdge({
    ...(node.image === undefined ? {} : { child: node.image }),
    ...parent,
    ...(own.foreign === undefined ? {} : { foreign: own.foreign }),
    ...(node.dockerfile.url === undefined ? {} : { dockerfileUrl: node.dockerfile.url }),
    ...(moved === undefined ? {} : { moved }),
    ...(tried === undefined ? {} : { tried }),
    ...{ ...at, claims: agreeing, named },
    ...(inferred === undefined ? {} : { inferred }),
    parentPinned: pinned !== undefined && digests.has(pinned),
  });
  return {
    edge: {
      ...{ kind: 'base', from: node.id, to: to.id, name: text, ...at, grade },
      evidence: [...evidence, ...parentEvidence(to)],
    },
    conflicts: baseConflict(node.id, reading, target, { ...parent, named }),
    digests,
  };
}
