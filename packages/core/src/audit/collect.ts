import { createHash } from 'node:crypto';
import type { LineRange } from '../dockerfile/types.ts';
import type { LineageNode } from '../lineage/types.ts';
import type { AuditRule, FindingDraft } from './rule.ts';
import { maskSecrets } from './secret-tokens.ts';
import type { Finding } from './types.ts';

const MAX_EXCERPT = 500;
const MAX_MESSAGE = 1000;
/** Findings of one rule in one image that are listed; the rest is counted. */
const MAX_LISTED = 200;

/** Turns drafts into findings: finds the line, takes the excerpt, makes the id. */
export class FindingCollector {
  private readonly collected: Finding[] = [];
  private readonly occurrences = new Map<string, number>();
  private readonly texts = new Map<string, readonly string[]>();
  private readonly counts = new Map<string, number>();

  add(
    rule: AuditRule,
    draft: FindingDraft,
    node: LineageNode | { readonly id: string },
    text: string | undefined,
  ): void {
    const count = (this.counts.get(`${rule.id} ${node.id}`) ?? 0) + 1;
    this.counts.set(`${rule.id} ${node.id}`, count);
    if (count > MAX_LISTED + 1) return;
    if (count > MAX_LISTED) {
      const message = `more than ${MAX_LISTED} findings of this rule; the rest is not listed`;
      this.push(rule, { message }, node, undefined);
    } else this.push(rule, draft, node, text);
  }

  private push(
    rule: AuditRule,
    draft: FindingDraft,
    node: LineageNode | { readonly id: string },
    text: string | undefined,
  ): void {
    const source = 'dockerfile' in node ? node.dockerfile.location : undefined;
    const lines = text === undefined ? [] : this.linesOf(text);
    const place = draft.lines === undefined ? undefined : locate(lines, draft.lines, draft.at);
    const written = place === undefined ? undefined : textAt(lines, place);
    const excerpt =
      written === undefined ? undefined : maskSecrets(written, draft.mask).trim().slice(0, MAX_EXCERPT);
    // Neither lines nor commit take part: an id outlives edits elsewhere in the file.
    const name =
      'reference' in node
        ? `${node.reference.registry}/${node.reference.repository}:${node.reference.tag ?? ''}`
        : node.id;
    const key = [
      rule.id,
      name,
      source === undefined ? '' : `${source.repository} ${source.path}`,
      (excerpt ?? draft.message).replace(/\s+/g, ' '),
    ].join('\n');
    const occurrence = this.occurrences.get(key) ?? 0;
    this.occurrences.set(key, occurrence + 1);
    this.collected.push({
      id: createHash('sha256').update(`${key}\n${occurrence}`).digest('hex').slice(0, 16),
      rule: rule.id,
      severity: draft.severity ?? rule.severity,
      title: rule.title,
      message: maskSecrets(draft.message, draft.mask).slice(0, MAX_MESSAGE),
      remediation: rule.remediation,
      node: node.id,
      source,
      lines: place,
      excerpt,
    });
  }

  /** Everything collected, in the order of the nodes, lines and rules. */
  findings(nodes: readonly string[]): readonly Finding[] {
    const order = new Map(nodes.map((id, index) => [id, index]));
    const rank = (finding: Finding): readonly (number | string)[] => [
      order.get(finding.node) ?? nodes.length,
      finding.lines?.startLine ?? 0,
      finding.rule,
      finding.message,
      finding.id,
    ];
    return this.collected
      .map((finding) => ({ finding, rank: rank(finding) }))
      .sort((a, b) => compareRanks(a.rank, b.rank))
      .map(({ finding }) => finding);
  }

  private linesOf(text: string): readonly string[] {
    let lines = this.texts.get(text);
    if (lines === undefined) {
      lines = text.split(/\r\n|\r|\n/);
      this.texts.set(text, lines);
    }
    return lines;
  }
}

/** The start of the text at a range: more than an excerpt, so that a secret at its end is seen whole. */
function textAt(lines: readonly string[], { startLine, endLine }: LineRange): string {
  const shown = lines.slice(startLine - 1, Math.min(endLine, startLine + 50));
  return shown
    .map((line) => line.slice(0, 4 * MAX_EXCERPT))
    .join('\n')
    .slice(0, 4 * MAX_EXCERPT);
}

/** The one line of a range that the text stands in; the range when it is not found. */
function locate(lines: readonly string[], range: LineRange, at: string | undefined): LineRange {
  const { startLine, endLine } = range;
  if (at === undefined || startLine === endLine) return { startLine, endLine };
  const inside = lines.slice(startLine - 1, endLine);
  const start = at
    .split(/\s{2,}|\n/)[0]!
    .slice(0, 120)
    .trim();
  for (const needle of [
    start,
    start.split(' ').slice(0, 3).join(' '),
    start.split(' ').slice(0, 2).join(' '),
  ]) {
    const index = needle.length < 2 ? -1 : inside.findIndex((line) => line.includes(needle));
    if (index >= 0) return { startLine: startLine + index, endLine: startLine + index };
  }
  return { startLine, endLine };
}

function compareRanks(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index]!;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
