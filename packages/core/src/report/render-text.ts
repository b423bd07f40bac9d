import type { Reason } from '../policy/types.ts';
import {
  countedBySeverity,
  EDGE_WORDS,
  type ImageView,
  type ReportView,
  rebuildWords,
  viewReport,
} from './report-view.ts';
import type { VetReport } from './types.ts';
import { visibleLine } from './visible.ts';

/** How {@link renderText} writes. */
export interface RenderTextOptions {
  /** Whether to use ANSI colours. @defaultValue `false` */
  readonly color?: boolean;
}

/** Writes a report as a summary for a terminal. Ends with a line feed. */
export function renderText(report: VetReport, { color = false }: RenderTextOptions = {}): string {
  const view = viewReport(report);
  const paint: Paint = (style, text) => (color ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text);
  const sections = [
    verdictLines(view, paint),
    ['Lineage', ...lineageLines(view, paint), ...divergenceLines(view, paint)],
    ['Reasons', ...view.failures.flatMap((reason) => reasonLines(reason, view, paint))],
    [
      'Not checked',
      ...report.verdict.gaps.map(
        (gap) => `  - ${about(gap.node, view)}${line(gap.message)} (${line(gap.code)})`,
      ),
    ],
    ['Signature', ...signatureLines(report)],
  ];
  return `${sections
    .filter((lines) => lines.length > 1)
    .map(([title, ...lines]) => [paint('bold', title!), ...lines].join('\n'))
    .join('\n\n')}\n`;
}

type Style = 'bold' | 'good' | 'bad' | 'warn' | 'dim';
type Paint = (style: Style, text: string) => string;

const STYLES: Readonly<Record<Style, string>> = { bold: '1', good: '32', bad: '31', warn: '33', dim: '2' };

// Text from elsewhere must not move the terminal's cursor.
const line = visibleLine;

function verdictLines({ report, headline }: ReportView, paint: Paint): readonly string[] {
  const { decision, pinned, complete, policy } = report.verdict;
  const word = paint(decision === 'allow' ? 'good' : 'bad', decision.toUpperCase());
  return [
    `${line(report.requested)} (${line(report.lineage.nodes[0]?.id.split(' ').at(-1) ?? '')})`,
    `  ${word}  ${headline}`,
    ...(pinned === undefined ? [] : [`  run  ${paint('bold', line(pinned))}`]),
    ...(complete ? [] : [paint('warn', '  incomplete: something was not checked')]),
    paint('dim', `  policy ${line(policy.name)} ${line(policy.digest)}`),
  ];
}

function lineageLines({ images }: ReportView, paint: Paint): readonly string[] {
  return images.flatMap((image) => {
    const rebuild = rebuildWords(image);
    const tone = { good: 'good', bad: 'bad', unknown: 'warn' }[rebuild.tone] as Style;
    const findings = countedBySeverity(image.findings);
    return [
      `  ${image.number}. ${line(image.name)}  ${paint(tone, rebuild.text)}${findings === '' ? '' : `, ${paint('warn', findings)}`}`,
      `     ${paint('dim', source(image))}`,
      ...image.parents.map(
        ({ kind, name, grade }) =>
          `     ${EDGE_WORDS[kind]} ${line(name)}: ${paint(grade === 'contradicted' ? 'bad' : grade === 'unknown' ? 'warn' : 'good', grade)}`,
      ),
      ...(image.node.end === undefined ? [] : [`     ${END_WORDS[image.node.end]}`]),
    ];
  });
}

const END_WORDS: Readonly<Record<NonNullable<ImageView['node']['end']>, string>> = {
  scratch: 'built from scratch',
  'rootfs-import': 'a root filesystem, imported as it is',
  unresolved: 'its base could not be resolved',
  cycle: 'its bases lead back to itself',
  'depth-limit': 'not followed further: depth limit',
};

function divergenceLines({ divergences }: ReportView, paint: Paint): readonly string[] {
  return divergences.flatMap(({ title, rows }) => [
    `  ${paint('warn', title)}`,
    ...rows.map(({ platforms, value }) => `     ${line(platforms)}: ${line(value)}`),
  ]);
}

function source({ role, node: { dockerfile } }: ImageView): string {
  const { location, status } = dockerfile;
  if (location === undefined) return role === 'frontend' ? 'named, not followed' : `Dockerfile: ${status}`;
  const where = `${location.repository}@${location.commit.slice(0, 12)} ${location.path}`;
  return line(status === 'found' || status === 'imported' ? where : `${where} (${status})`);
}

function reasonLines(reason: Reason, view: ReportView, paint: Paint): readonly string[] {
  const style = reason.outcome === 'waived' ? 'warn' : 'bad';
  return [
    `  ${paint(style, reason.outcome.padEnd(6))} ${reason.rule}: ${about(reason.node, view)}${line(reason.message)}`,
    ...(reason.remediation === undefined || reason.outcome === 'waived'
      ? []
      : [paint('dim', `         ${line(reason.remediation)}`)]),
  ];
}

function about(node: string | undefined, view: ReportView): string {
  if (node === undefined) return '';
  return `${line(view.image(node)?.name ?? node)}: `;
}

function signatureLines({ endorsements }: VetReport): readonly string[] {
  return endorsements.map(
    ({ collection, tags, expires, verified }) =>
      `  ${line(collection)} tags ${line(tags.join(', '))}, ${verified ? 'read back and verified' : 'not verified'}, valid until ${line(expires)}`,
  );
}
