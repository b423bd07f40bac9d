import { familiarReference } from '@imagevet/registry';
import type { EdgeGrade, Lineage, LineageNode } from './types.ts';

/** The lineage as a Mermaid flowchart. */
export function lineageToMermaid(lineage: Lineage): string {
  const names = nameNodes(lineage);
  const lines = ['flowchart BT'];
  for (const node of lineage.nodes) {
    lines.push(`  ${names.get(node.id)}["${captionOf(node).map(escapeMermaid).join('<br/>')}"]`);
    const ground = groundOf(node);
    if (ground !== undefined) lines.push(`  ${ground}(("${ground}")) --> ${names.get(node.id)}`);
  }
  for (const { from, to, kind, grade } of lineage.edges) {
    const arrow = kind === 'base' && grade !== 'contradicted' ? '-->' : '-.->';
    lines.push(
      `  ${names.get(to)} ${arrow}|${kind === 'base' ? grade : `${kind}, ${grade}`}| ${names.get(from)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

const DOT_STYLE: Readonly<Record<EdgeGrade, string>> = {
  proven: 'style=solid, color=darkgreen',
  attested: 'style=solid, color=darkblue',
  claimed: 'style=dashed, color=gray40',
  contradicted: 'style=bold, color=red',
  unknown: 'style=dotted, color=gray70',
};

/** The lineage as a Graphviz digraph. */
export function lineageToDot(lineage: Lineage): string {
  const names = nameNodes(lineage);
  const lines = ['digraph lineage {', '  rankdir=BT;', '  node [shape=box];'];
  for (const node of lineage.nodes) {
    lines.push(`  ${names.get(node.id)} [label=${quoteDot(captionOf(node).join('\n'))}];`);
    const ground = groundOf(node);
    if (ground !== undefined)
      lines.push(`  ${ground} [shape=circle];`, `  ${ground} -> ${names.get(node.id)};`);
  }
  for (const { from, to, kind, grade } of lineage.edges) {
    const label = kind === 'base' ? grade : `${kind}, ${grade}`;
    lines.push(`  ${names.get(to)} -> ${names.get(from)} [label=${quoteDot(label)}, ${DOT_STYLE[grade]}];`);
  }
  return `${[...lines, '}'].join('\n')}\n`;
}

function nameNodes(lineage: Lineage): ReadonlyMap<string, string> {
  return new Map(lineage.nodes.map(({ id }, index) => [id, `n${index}`]));
}

/** What the first image of a lineage stands on. */
function groundOf({ end }: LineageNode): 'scratch' | 'rootfs' | undefined {
  if (end === 'rootfs-import') return 'rootfs';
  return end === 'scratch' ? end : undefined;
}

function captionOf(node: LineageNode): readonly string[] {
  const { location } = node.dockerfile;
  const source = location === undefined ? [] : [`${location.path} @ ${location.commit.slice(0, 12)}`];
  return [familiarReference(node.reference), ...source];
}

function escapeMermaid(text: string): string {
  return text.replaceAll(/[^\w\s./:@-]/g, (character) => `#${character.codePointAt(0)};`);
}

function quoteDot(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll(/\p{C}/gu, ' ')}"`;
}
