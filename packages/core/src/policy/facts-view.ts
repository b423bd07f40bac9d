import { formatReference } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import type { LineageEdge, LineageNode } from '../lineage/types.ts';
import type { RebuildOutcome, RebuildStep } from '../rebuild/types.ts';
import { impliedGaps, mergeGaps, reportedGaps } from './gaps.ts';
import type { Facts } from './types.ts';

/**
 * Facts as the rules read them. Everything here is in an order that follows from the lineage itself, so that
 * the order in which facts were gathered never shows in a verdict.
 */
export interface FactsView {
  readonly facts: Facts;
  /**
   * Images whose files end up in the one asked about, or that made them: from it down its bases, then the others
   * by id. Frontends are not among them.
   */
  readonly nodes: readonly LineageNode[];
  /** With the frontends: images that only read a Dockerfile in the builder. */
  readonly allNodes: readonly LineageNode[];
  readonly node: (id: string) => LineageNode | undefined;
  /** By child, then parent. */
  readonly baseEdges: readonly LineageEdge[];
  readonly edges: readonly LineageEdge[];
  /** What was not checked: reported, or implied by what is missing. */
  readonly gaps: readonly Gap[];
  /** The gaps the stages reported. */
  readonly reportedGaps: readonly Gap[];
  readonly allSteps: readonly RebuildStep[];
  readonly steps: (id: string) => readonly RebuildStep[];
  readonly outcomes: (step: string) => readonly RebuildOutcome[];
  /** Sorts what concerns nodes like the nodes themselves. */
  readonly rank: (node: string | undefined) => number;
}

/** Prepares facts for the rules. */
export function viewFacts(facts: Facts): FactsView {
  const { lineage } = facts;
  const edges = [...lineage.edges].sort(
    (a, b) => order(a.from, b.from) || order(a.to, b.to) || order(a.kind, b.kind) || order(a.name, b.name),
  );
  const baseEdges = edges.filter((edge) => edge.kind === 'base');
  const ids = [
    ...new Set([...walkBases(lineage.root, baseEdges), ...lineage.nodes.map(({ id }) => id).sort(order)]),
  ];
  const ranks = new Map(ids.map((id, index) => [id, index]));
  const rank = (node: string | undefined): number =>
    node === undefined ? -1 : (ranks.get(node) ?? ranks.size);
  const allNodes = [...lineage.nodes].sort((a, b) => rank(a.id) - rank(b.id));
  const nodes = allNodes.filter(({ id }) => id === lineage.root || !isFrontend(id, edges));
  const byId = new Map(allNodes.map((node) => [node.id, node]));
  const allSteps = facts.plan?.steps ?? [];
  const steps = Map.groupBy(allSteps, ({ id }) => id);
  const outcomes = Map.groupBy(facts.rebuild?.outcomes ?? [], ({ step }) => step);
  const reported = reportedGaps(facts);
  return {
    facts,
    nodes,
    allNodes,
    node: (id) => byId.get(id),
    baseEdges,
    edges,
    gaps: mergeGaps([...reported, ...impliedGaps(facts, nodes, reported)], rank),
    reportedGaps: mergeGaps(reported, rank),
    allSteps,
    steps: (id) => steps.get(id) ?? [],
    outcomes: (step) => outcomes.get(step) ?? [],
    rank,
  };
}

function isFrontend(id: string, edges: readonly LineageEdge[]): boolean {
  const uses = edges.filter(({ to }) => to === id);
  return uses.length > 0 && uses.every(({ kind }) => kind === 'frontend');
}

/** Ids from the image asked about down its first base edges, each once. */
export function walkBases(root: string, baseEdges: readonly LineageEdge[]): readonly string[] {
  const next = new Map<string, string>();
  for (const edge of baseEdges) if (!next.has(edge.from)) next.set(edge.from, edge.to);
  const seen = new Set<string>();
  for (let id: string | undefined = root; id !== undefined && !seen.has(id); id = next.get(id)) seen.add(id);
  return [...seen];
}

/** Canonical name of a node: what an exception's `term` repeats. */
export function nameOf(node: LineageNode): string {
  return formatReference(node.reference);
}

/** Compares by UTF-16 code units, on every machine alike. */
export function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
