import { type Lineage, lineageToDot, lineageToMermaid, resolveLineage, spine } from '@imagevet/core';
import { familiarReference } from '@imagevet/registry';
import type { Arguments } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { servicesOf } from '../services.ts';

/** `imagevet lineage <image>` */
export async function lineage(args: Arguments, io: Io): Promise<number> {
  const found = await trace(args, io);
  io.stdout(render(found, args.format));
  return found.gaps.length === 0 ? EXIT.allow : EXIT.error;
}

/** Resolves the lineage a command line asks for. */
export function trace(args: Arguments, io: Io): Promise<Lineage> {
  return resolveLineage(args.image, {
    ...servicesOf(args, io),
    platform: args.platform,
    asOf: args.asOf,
    signal: io.signal,
  });
}

function render(found: Lineage, format: string): string {
  if (format === 'json') return `${JSON.stringify(found, null, 2)}\n`;
  if (format === 'mermaid') return lineageToMermaid(found);
  if (format === 'dot') return lineageToDot(found);
  return describe(found);
}

/** One line an image, from the one asked about down to its base, then what else they take and what is not known. */
function describe(found: Lineage): string {
  const lines = spine(found).flatMap((node) => {
    const { location, status, consistency } = node.dockerfile;
    const source =
      location === undefined ? status : `${location.repository} ${location.commit} ${location.path}`;
    const state = status === 'found' ? consistency : status;
    const base = found.edges.find(({ kind, from }) => kind === 'base' && from === node.id);
    const ground = base === undefined ? (node.end ?? 'unknown') : `${base.name}, ${base.grade}`;
    return [familiarReference(node.reference), `  source  ${source} (${state})`, `  base    ${ground}`];
  });
  const inputs = found.edges
    .filter(({ kind }) => kind !== 'base')
    .map(({ from, kind, name, line }) => `${from} takes from ${name} (${kind}, line ${line})`);
  const gaps = found.gaps.map(({ code, message }) => `not known: ${message} (${code})`);
  const conflicts = found.conflicts.map(
    ({ node, about }) => `sources disagree about the ${about} of ${node}`,
  );
  return [...lines, ...inputs, ...conflicts, ...gaps, ''].join('\n');
}
