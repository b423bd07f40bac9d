import type { Finding } from '../audit/types.ts';
import type { DifferenceOrigin } from '../compare/types.ts';
import { markdownCode as code, markdownBlock, markdownText as text } from './markdown-text.ts';
import { placeOf } from './place-of.ts';
import {
  counted,
  countedBySeverity,
  EDGE_WORDS,
  type ImageView,
  type ReportView,
  rebuildWords,
  viewReport,
} from './report-view.ts';
import type { VetReport } from './types.ts';
import { visible } from './visible.ts';

/** Most reasons, findings of one image, and differences written out; a review comment is read, not searched. */
const MAX_ROWS = 50;

/** Writes a report as GitHub-flavoured Markdown, fit for a review comment. Ends with a line feed. */
export function renderMarkdown(report: VetReport): string {
  const view = viewReport(report);
  return `${[
    ...head(view),
    ...reasons(view),
    ...gaps(view),
    ...lineage(view),
    ...divergences(view),
    ...findings(view),
    ...comparisons(view),
    ...signature(report),
    `<sub>Policy ${code(report.verdict.policy.name)} ${code(report.verdict.policy.digest)}, decided for ${text(report.verdict.effectiveTime)}</sub>`,
  ].join('\n\n')}\n`;
}

function head({ report, headline }: ReportView): readonly string[] {
  const { decision, pinned, complete } = report.verdict;
  return [
    `## ${decision === 'allow' ? '✅ Allow' : '⛔ Deny'}: ${code(report.requested)}`,
    `${headline}${complete ? '' : ' **The verdict is incomplete:** something was not checked.'}`,
    ...(pinned === undefined ? [] : [`Run exactly this:\n\n${markdownBlock(visible(pinned), '')}`]),
  ];
}

function reasons(view: ReportView): readonly string[] {
  if (view.failures.length === 0) return [];
  const rows = view.failures.map(({ outcome, rule, node, message, remediation }) => [
    outcome === 'waived' ? '⚠️ waived' : outcome === 'error' ? '❔ error' : '❌ fail',
    code(rule),
    node === undefined ? '' : code(view.image(node)?.name ?? node),
    text(message) + (remediation === undefined ? '' : `<br>${text(remediation)}`),
  ]);
  return ['### Reasons', table(['', 'Rule', 'Image', 'Why'], rows)];
}

function gaps({ report, image }: ReportView): readonly string[] {
  if (report.verdict.gaps.length === 0) return [];
  const items = report.verdict.gaps.map(({ stage, code: gapCode, message, node, hint }) => {
    const about = node === undefined ? '' : ` ${code(image(node)?.name ?? node)}`;
    return `- **${stage}**${about}: ${text(message)} (${code(gapCode)})${hint === undefined ? '' : `. ${text(hint)}`}`;
  });
  return ['### Not checked', cut(items, 'gap').join('\n')];
}

function lineage({ images }: ReportView): readonly string[] {
  const rows = images.map((image) => {
    const { repository, commit, path } = image.node.dockerfile.location ?? {};
    const source =
      repository === undefined
        ? text(image.node.dockerfile.status)
        : code(`${repository}@${commit?.slice(0, 12)} ${path}`);
    return [
      String(image.number),
      code(image.name),
      image.parents
        .map(({ kind, name, grade }) => `${EDGE_WORDS[kind]} ${code(name)}: **${grade}**`)
        .join('<br>') || text(image.node.end ?? 'unknown'),
      source,
      text(rebuildWords(image).text),
      text(countedBySeverity(image.findings) || 'none'),
    ];
  });
  return ['### Lineage', table(['#', 'Image', 'Built on', 'Source', 'Rebuild', 'Findings'], rows)];
}

function divergences(view: ReportView): readonly string[] {
  return view.divergences.flatMap(({ title, rows }) => [
    `**The ${title}:**`,
    table(
      ['Platforms', ''],
      rows.map(({ platforms, value }) => [text(platforms), code(value)]),
    ),
  ]);
}

function findings({ findingGroups, strayFindings }: ReportView): readonly string[] {
  if (findingGroups.length === 0 && strayFindings.length === 0) return [];
  return [
    '### Findings, by the image that must fix them',
    ...findingGroups.map((image) =>
      details(`${code(image.name)}: ${countedBySeverity(image.findings)}`, image.findings, image),
    ),
    ...(strayFindings.length === 0 ? [] : [details('Other images', strayFindings)]),
  ];
}

function details(title: string, list: readonly Finding[], image?: ImageView): string {
  const items = list.map(({ rule, severity, title: name, message, remediation, lines, excerpt }) => {
    const path = image?.node.dockerfile.location?.path ?? 'Dockerfile';
    const at = lines === undefined ? '' : ` ${code(`${path}:${lines.startLine}`)}`;
    const shown =
      excerpt === undefined ? '' : `\n\n${indent(markdownBlock(visible(excerpt), 'dockerfile'))}\n`;
    const fix = remediation === undefined ? '' : ` *Fix:* ${text(remediation)}`;
    return `- **${text(rule)}** ${severity}${at}: ${text(name)}. ${text(message)}.${fix}${shown}`;
  });
  return `**${title}**\n\n${cut(items, 'finding').join('\n')}`;
}

function comparisons({ images }: ReportView): readonly string[] {
  const sections = images.flatMap(({ name, comparison }) => {
    if (comparison === undefined) return [];
    const { grade, differences, packages = [], config, unreadDatabases = [] } = comparison;
    const why = (explanation?: string): string =>
      explanation === undefined ? '**unexplained**' : text(explanation);
    const from = (origin: DifferenceOrigin | undefined): string => {
      const where = placeOf(origin);
      return where === undefined ? '' : ` (${where})`;
    };
    const items = [
      ...unreadDatabases.map(
        ({ side, path, message }) => `- packages of the ${side} not read, ${code(path)}: ${text(message)}`,
      ),
      ...differences.map(
        ({ change, path, aspects, explanation, origin }) =>
          `- ${change} ${code(path)} ${text(aspects.join(', '))}${from(origin)}: ${why(explanation)}`,
      ),
      ...config.map(
        ({ field, explanation, origin }) =>
          `- configuration ${code(field)}${from(origin)}: ${why(explanation)}`,
      ),
      ...packages.map(
        ({ name: of, original, rebuilt, origin }) =>
          `- package ${code(of)}${from(origin)}: ${code(original ?? 'none')} became ${code(rebuilt ?? 'none')}`,
      ),
    ];
    if (items.length === 0) return [];
    return [`**${code(name)}**: ${grade.replace('-', ' ')}\n\n${cut(items, 'difference').join('\n')}`];
  });
  return sections.length === 0 ? [] : ['### Rebuilt beside original', ...sections];
}

function signature({ endorsements }: VetReport): readonly string[] {
  if (endorsements.length === 0) return [];
  const lines = endorsements.map(
    ({ collection, tags, expires, verified, keyIds }) =>
      `- ${code(collection)} ${tags.map(code).join(' ')}, ${verified ? 'read back and verified' : '**not verified**'}, valid until ${text(expires)}, ${counted(keyIds.length, 'key')} ${keyIds.map((id) => code(id.slice(0, 16))).join(' ')}`,
  );
  return ['### Signatures', lines.join('\n')];
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const shown = rows.slice(0, MAX_ROWS).map(line);
  const more =
    rows.length > MAX_ROWS
      ? [line([`… ${rows.length - MAX_ROWS} more`, ...columns.slice(1).map(() => '')])]
      : [];
  return [line(columns), line(columns.map(() => '---')), ...shown, ...more].join('\n');
}

function cut(items: readonly string[], what: string): readonly string[] {
  if (items.length <= MAX_ROWS) return items;
  return [...items.slice(0, MAX_ROWS), `- … ${counted(items.length - MAX_ROWS, `more ${what}`)}`];
}

function indent(block: string): string {
  return block.replace(/^/gm, '  ');
}
