import type { Lineage } from '../lineage/types.ts';

/** Lists the ids of nodes and of all that is built on or with them, in the order of their lineages. */
export function dependents(
  uses: readonly { readonly lineage: Lineage; readonly node: { readonly id: string } }[],
): readonly string[] {
  const affected = new Set<string>();
  const starts = new Map<Lineage, string[]>();
  for (const { lineage, node } of uses) starts.set(lineage, [...(starts.get(lineage) ?? []), node.id]);
  for (const [lineage, ids] of starts) {
    const reached = new Set(ids);
    // A set yields what is added while it is walked.
    for (const id of reached) for (const { from, to } of lineage.edges) if (to === id) reached.add(from);
    for (const { id } of lineage.nodes) if (reached.has(id)) affected.add(id);
  }
  return [...affected];
}
