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
 * Grades a base edge. Evidence is never averaged: layers or a history that refute a named digest make the edge
 * `contradicted` whatever else supports it; what refutes only today's tag says that the tag has moved. Layers alone, without
 * the history, are no proof: the same layers are published under many names.
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
  const { result, layers, history, historyDiffersAt, differsAt = 0 } = provePrefix(parent, child);
  const at = formatReference({ ...parent.reference, digest: parent.manifest.digest });
  const evidence = (verdict: EdgeEvidence['verdict'], message: string): EdgeEvidence => {
    return { kind: 'layers', verdict, message };
  };
  const differing = (message: string) =>
    parentPinned
      ? evidence('refutes', message)
      : evidence('neutral', `${message}: the tag has moved since the build`);
  if (result === 'refuted') return differing(`layer ${differsAt} of ${at} is not its layer ${differsAt}`);
  if (result === 'vacuous') return evidence('neutral', `${at} has only empty layers, which proves nothing`);
  const first = `the ${layers} layers of ${at} are its first layers`;
  if (history) return evidence('supports', `${first}, and its history too`);
  if (historyDiffersAt !== undefined) {
    return differing(`${first}, but entry ${historyDiffersAt} of its history is made by another instruction`);
  }
  const silent = child.history.length === 0;
  return evidence(
    'neutral',
    `${first}, but ${silent ? 'it has no history' : 'the times in its history differ'}`,
  );
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
