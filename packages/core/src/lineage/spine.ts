import type { Lineage, LineageNode } from './types.ts';

/** The images from the one asked about down its `base` edges to the last one known. */
export function spine(lineage: Lineage): readonly LineageNode[] {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const found: LineageNode[] = [];
  let id: string | undefined = lineage.root;
  while (id !== undefined) {
    const node = nodes.get(id);
    if (node === undefined || found.includes(node)) break;
    found.push(node);
    id = lineage.edges.find(({ kind, from }) => kind === 'base' && from === node.id)?.to;
  }
  return found;
}
