import { type Lineage, lineageToMermaid, renderLineageText, resolveLineage } from '@imagevet/core';
import { type Arguments, UsageError } from '../arguments.ts';
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
  if (format === 'text') return renderLineageText(found);
  throw new UsageError(`lineage has no format ${JSON.stringify(format)}`);
}
