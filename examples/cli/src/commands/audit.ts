import { auditLineage, type Finding, renderSarif } from '@imagevet/core';
import type { Arguments } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { trace } from './lineage.ts';

/** `imagevet audit <image>`; exit code 1 when a finding is high or critical, else 3 when not all could be looked at. */
export async function audit(args: Arguments, io: Io): Promise<number> {
  const lineage = await trace(args, io);
  const findings = auditLineage(lineage, { now: new Date() });
  if (args.format === 'json') io.stdout(`${JSON.stringify(findings, null, 2)}\n`);
  else if (args.format === 'sarif') io.stdout(renderSarif(lineage, findings));
  else io.stdout(findings.map(describe).join(''));
  if (lineage.gaps.length > 0)
    io.stderr(`${lineage.gaps.length} things could not be looked at; see: imagevet lineage\n`);
  if (findings.some(({ severity }) => severity === 'critical' || severity === 'high')) return EXIT.deny;
  return lineage.gaps.length > 0 ? EXIT.error : EXIT.allow;
}

function describe(finding: Finding): string {
  const line = finding.lines === undefined ? '' : `:${finding.lines.startLine}`;
  const place = finding.source === undefined ? finding.node : `${finding.source.path}${line}`;
  return `${finding.severity.padEnd(8)} ${finding.rule} ${place} ${finding.message}\n`;
}
