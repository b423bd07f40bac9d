import { formatPlatform, formatReference, type ResolvedImage } from '@imagevet/registry';
import type { EdgeEvidence, EdgeGrade, ProvenanceClaim } from '../types.ts';
import type { ParentSearch } from './find-parent.ts';
import { namedEvidence } from './named-evidence.ts';
import { provePrefix } from './prove-prefix.ts';

/** What is known about an edge from child to parent. */
export interface EdgeFacts {
  readonly child?: ResolvedImage;
  readonly parent?: ResolvedImage;
  /** What the digest that claims name is, when that is an image of another platform. */
  readonly foreign?: ResolvedImage;
  /** Claims about the child that name its base. */
  readonly claims: readonly ProvenanceClaim[];
  /** Line of the Dockerfile instruction that names the parent. */
  readonly line?: number;
  readonly dockerfileUrl?: string;
  /** Whether the parent was resolved at a digest a claim or the Dockerfile names, not at a tag of today. */
  readonly parentPinned: boolean;
  /** Bases that claims name by another digest than the one the parent was sought by, or by another name. */
  readonly named?: ParentSearch['named'];
  /** Set where claims do not say that it is the base: layers decide alone. */
  readonly inferred?: true;
  /** What the base's tag names today, when the parent is another image. */
  readonly moved?: ParentSearch['moved'];
  /** Other versions of the base that are not it, when any were asked for. */
  readonly tried?: ParentSearch['tried'];
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
  const held = new Set(facts.named?.map(({ claim }) => claim));
  for (const claim of facts.claims) {
    const { kind, base, foundAt } = claim;
    if (base === undefined || held.has(claim)) continue;
    const digest = base.digest === undefined ? '' : ` at ${base.digest}`;
    evidence.push({ kind, verdict: 'supports', message: `names ${base.reference}${digest}`, foundAt });
  }
  evidence.push(...(facts.named?.flatMap((base) => namedEvidence(base, facts)) ?? []));
  evidence.push(...foreignEvidence(facts));
  const layers = layerEvidence(facts);
  if (layers !== undefined) evidence.push(layers);
  if (facts.moved !== undefined) {
    const message = `its tag names ${facts.moved} today: the tag has moved since the build`;
    evidence.push({ kind: 'layers', verdict: 'neutral', message });
  }
  return { grade: gradeOf(facts, evidence, layers), evidence };
}

/** Who names an image of another platform is wrong, unless its layers are the child's all the same. */
function foreignEvidence({ child, foreign, inferred }: EdgeFacts): readonly EdgeEvidence[] {
  if (child === undefined || foreign === undefined) return [];
  const { registry, repository } = foreign.reference;
  const at = formatReference({ registry, repository, digest: foreign.manifest.digest });
  const says = `${at} is of ${formatPlatform(foreign.platform)}`;
  const { result, differsAt } = provePrefix(foreign, child);
  return result === 'refuted'
    ? [
        {
          kind: 'layers',
          verdict: inferred ? 'neutral' : 'refutes',
          message: `${says}, and its layer ${differsAt} is not its own`,
        },
      ]
    : [{ kind: 'layers', verdict: 'neutral', message: says }];
}

function layerEvidence({
  child,
  parent,
  parentPinned,
  tried,
  inferred,
}: EdgeFacts): EdgeEvidence | undefined {
  if (child === undefined || parent === undefined) return undefined;
  const { result, layers, history, historyDiffersAt, differsAt = 0 } = provePrefix(parent, child);
  const at = formatReference({ ...parent.reference, digest: parent.manifest.digest });
  if (parent.manifest.digest === child.manifest.digest) {
    return { kind: 'layers', verdict: 'neutral', message: `${at} is the very same image` };
  }
  const evidence = (verdict: EdgeEvidence['verdict'], message: string): EdgeEvidence => {
    return { kind: 'layers', verdict, message };
  };
  const differing = (message: string) =>
    inferred
      ? evidence('neutral', `${message}: the only image its build read is not its base`)
      : parentPinned
        ? evidence('refutes', message)
        : evidence(
            'neutral',
            `${message}: the tag has moved since the build, and what it named then is unknown${searched(tried)}`,
          );
  if (result === 'refuted') return differing(`layer ${differsAt} of ${at} is not its layer ${differsAt}`);
  if (result === 'vacuous' && historyDiffersAt === undefined)
    return evidence('neutral', `${at} has only empty layers, which proves nothing`);
  const first =
    result === 'vacuous'
      ? `${at} has only empty layers`
      : `the ${layers} layers of ${at} are its first layers`;
  if (history) return evidence('supports', `${first}, and its history too`);
  if (historyDiffersAt !== undefined) {
    return differing(`${first}, but entry ${historyDiffersAt} of its history is made by another instruction`);
  }
  const silent = child.history.length === 0 ? 'it' : parent.history.length === 0 ? 'that' : undefined;
  return evidence(
    'neutral',
    `${first}, but ${silent === undefined ? 'the times in its history differ' : `${silent} has no history`}`,
  );
}

function searched(tried: EdgeFacts['tried']): string {
  if (tried === undefined) return '';
  return tried === 0 ? ' (no record names another version)' : ` (of ${tried} on record none is it)`;
}

function gradeOf(
  facts: EdgeFacts,
  evidence: readonly EdgeEvidence[],
  layers: EdgeEvidence | undefined,
): EdgeGrade {
  if (evidence.some(({ verdict }) => verdict === 'refutes')) return 'contradicted';
  if (layers?.verdict === 'supports') return 'proven';
  if (facts.inferred) {
    return layers === undefined && facts.foreign === undefined ? 'claimed' : 'unknown';
  }
  if (facts.claims.some(({ kind, base }) => kind === 'buildkit-attestation' && base?.digest !== undefined)) {
    return 'attested';
  }
  return evidence.some(({ verdict }) => verdict === 'supports') ? 'claimed' : 'unknown';
}
