import { formatReference, type ResolvedImage } from '@imagevet/registry';
import { provePrefix } from './prove-prefix.ts';
import type { EdgeEvidence, EdgeGrade, ProvenanceClaim } from './types.ts';

/** What is known about an edge from child to parent. */
export interface EdgeFacts {
  readonly child?: ResolvedImage;
  readonly parent?: ResolvedImage;
  /** Claims about the child that name its base. */
  readonly claims: readonly ProvenanceClaim[];
  /** Line of the Dockerfile instruction that names the parent. */
  readonly line?: number;
  readonly dockerfileUrl?: string;
  /** Whether the parent was resolved at a digest a claim or the Dockerfile names, not at a tag of today. */
  readonly parentPinned: boolean;
}

/**
 * Grades a base edge. Evidence is never averaged: layers that refute a named digest make the edge `contradicted`
 * whatever else supports it; layers that refute only today's tag say that the tag has moved.
 */
export function gradeEdge(facts: EdgeFacts): {
  readonly grade: EdgeGrade;
  readonly evidence: readonly EdgeEvidence[];
} {
  const evidence: EdgeEvidence[] = [];
  if (facts.line !== undefined) {
    evidence.push({
      kind: 'dockerfile',
      verdict: 'supports',
      message: `the Dockerfile names it in line ${facts.line}`,
      ...(facts.dockerfileUrl === undefined ? {} : { foundAt: facts.dockerfileUrl }),
    });
  }
  for (const { kind, base, foundAt } of facts.claims) {
    if (base === undefined) continue;
    const digest = base.digest === undefined ? '' : ` at ${base.digest}`;
    evidence.push({ kind, verdict: 'supports', message: `names ${base.reference}${digest}`, foundAt });
  }
  const layers = layerEvidence(facts);
  if (layers !== undefined) evidence.push(layers);
  return { grade: gradeOf(facts, evidence, layers), evidence };
}

function layerEvidence({ child, parent, parentPinned }: EdgeFacts): EdgeEvidence | undefined {
  if (child === undefined || parent === undefined) return undefined;
  const { result, layers, history, differsAt = 0 } = provePrefix(parent, child);
  const at = formatReference({ ...parent.reference, digest: parent.manifest.digest });
  if (result === 'proven') {
    const also = history ? ', and its history too' : ', but its history is not';
    return {
      kind: 'layers',
      verdict: 'supports',
      message: `the ${layers} layers of ${at} are its first layers${also}`,
    };
  }
  if (result === 'vacuous') {
    return {
      kind: 'layers',
      verdict: 'neutral',
      message: `${at} has only empty layers, which proves nothing`,
    };
  }
  const message = `layer ${differsAt} of ${at} is not its layer ${differsAt}`;
  return parentPinned
    ? { kind: 'layers', verdict: 'refutes', message }
    : { kind: 'layers', verdict: 'neutral', message: `${message}: the tag has moved since the build` };
}

function gradeOf(
  facts: EdgeFacts,
  evidence: readonly EdgeEvidence[],
  layers: EdgeEvidence | undefined,
): EdgeGrade {
  if (layers?.verdict === 'refutes') return 'contradicted';
  if (layers?.verdict === 'supports') return 'proven';
  if (facts.claims.some(({ kind, base }) => kind === 'buildkit-attestation' && base?.digest !== undefined)) {
    return 'attested';
  }
  return evidence.some(({ verdict }) => verdict === 'supports') ? 'claimed' : 'unknown';
}
