import { familiarReference } from '@imagevet/registry';
import type { Finding, Severity } from '../audit/types.ts';
import type { Comparison } from '../compare/types.ts';
import type { EdgeKind, LineageConflict, LineageEdge, LineageNode } from '../lineage/types.ts';
import type { Reason } from '../policy/types.ts';
import type { RebuildOutcome } from '../rebuild/types.ts';
import type { VetReport } from './types.ts';

/** A report as every rendering tells it: one image after the other, from the one asked about down. */
export interface ReportView {
  readonly report: VetReport;
  readonly images: readonly ImageView[];
  readonly image: (id: string) => ImageView | undefined;
  /** What did not pass, waived ones last. */
  readonly failures: readonly Reason[];
  readonly passed: readonly Reason[];
  /** Images with findings; the image named is the one whose Dockerfile must change. */
  readonly findingGroups: readonly ImageView[];
  /** Findings of images the lineage does not hold. */
  readonly strayFindings: readonly Finding[];
  /** What other platforms of the image have otherwise. */
  readonly divergences: readonly DivergenceView[];
  /** The verdict in one sentence. */
  readonly headline: string;
}

/** All there is to say about one image of the lineage. */
export interface ImageView {
  readonly node: LineageNode;
  /** 1 for the image asked about. */
  readonly number: number;
  readonly name: string;
  /** What it is to the image above it; absent for the image asked about. */
  readonly role?: EdgeKind;
  /** Edges to what it was built on or with: its base first. */
  readonly parents: readonly LineageEdge[];
  readonly findings: readonly Finding[];
  readonly conflicts: readonly LineageConflict[];
  readonly outcome?: RebuildOutcome;
  readonly comparison?: Comparison;
}

/** One thing the platforms of the image do not have in common. */
export interface DivergenceView {
  readonly title: string;
  readonly rows: readonly { readonly platforms: string; readonly value: string }[];
}

const DIVERGENCE_WORDS = {
  PLATFORM_SOURCE_DIFFERS: 'platforms come from different sources',
  PLATFORM_BASES_DIFFER: 'platforms stand on different bases',
} as const;

/** Worst first. */
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info'];

/** Prepares a report for rendering. */
export function viewReport(report: VetReport): ReportView {
  const images = imagesOf(report);
  const byId = new Map(images.map((image) => [image.node.id, image]));
  const { reasons } = report.verdict;
  const of = (outcome: Reason['outcome']): readonly Reason[] =>
    reasons.filter((reason) => reason.outcome === outcome);
  return {
    report,
    images,
    image: (id) => byId.get(id),
    failures: [...of('fail'), ...of('error'), ...of('waived')],
    passed: of('pass'),
    findingGroups: images.filter(({ findings }) => findings.length > 0),
    strayFindings: report.findings.filter(({ node }) => !byId.has(node)),
    divergences: (report.divergences ?? []).map(({ code, values }) => ({
      title: DIVERGENCE_WORDS[code],
      rows: Object.entries(values).map(([value, platforms]) => ({ platforms: platforms.join(', '), value })),
    })),
    headline: headlineOf(report),
  };
}

/** `2 findings`, `1 finding`. */
export function counted(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `1 high, 2 medium`; empty without findings. */
export function countedBySeverity(findings: readonly Finding[]): string {
  return SEVERITIES.map((severity) => ({
    severity,
    count: findings.filter((finding) => finding.severity === severity).length,
  }))
    .filter(({ count }) => count > 0)
    .map(({ severity, count }) => `${count} ${severity}`)
    .join(', ');
}

/** What became of an image's rebuild, in two or three words, and whether that is good. */
export function rebuildWords({ role, outcome, comparison }: ImageView): {
  readonly text: string;
  readonly tone: 'good' | 'bad' | 'unknown';
} {
  if (role === 'frontend') return { text: 'a tool of the builder', tone: 'unknown' };
  if (outcome === undefined) return { text: 'not rebuilt', tone: 'unknown' };
  if (outcome.status === 'failed') return { text: 'rebuild failed', tone: 'bad' };
  if (outcome.status === 'skipped') return { text: 'rebuild skipped', tone: 'unknown' };
  if (comparison === undefined) return { text: 'rebuilt, not compared', tone: 'unknown' };
  const tone = comparison.grade === 'unexplained' ? 'bad' : 'good';
  return { text: `rebuilt: ${comparison.grade.replace('-', ' ')}`, tone };
}

/** What one image is to another, in words. */
export const EDGE_WORDS: Readonly<Record<EdgeKind, string>> = {
  base: 'built on',
  stage: 'builds a stage on',
  'copy-from': 'copies from',
  'mount-from': 'mounts from',
  frontend: 'Dockerfile read by',
};

function imagesOf(report: VetReport): readonly ImageView[] {
  const { lineage } = report;
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const roles = new Map<string, EdgeKind | undefined>();
  visit(lineage.root, undefined);
  for (const { id } of lineage.nodes) roles.set(id, roles.get(id));
  return [...roles].map(([id, role], index): ImageView => {
    const node = nodes.get(id)!;
    const outcome = report.rebuild?.outcomes.find(({ step }) => step === id);
    return {
      node,
      number: index + 1,
      name: familiarReference(node.reference),
      ...(role === undefined ? {} : { role }),
      parents: parentsOf(id),
      findings: report.findings
        .filter((finding) => finding.node === id)
        .toSorted(
          (a, b) =>
            SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
            (a.lines?.startLine ?? 0) - (b.lines?.startLine ?? 0),
        ),
      conflicts: lineage.conflicts.filter((conflict) => conflict.node === id),
      ...(outcome === undefined ? {} : { outcome }),
      ...(Object.hasOwn(report.comparisons, id) ? { comparison: report.comparisons[id] } : {}),
    };
  });

  // Down the bases first, so that the spine is numbered in a row.
  function visit(root: string, role: EdgeKind | undefined): void {
    const spine: string[] = [];
    for (let id: string | undefined = root; id !== undefined && nodes.has(id) && !roles.has(id); ) {
      roles.set(id, spine.length === 0 ? role : 'base');
      spine.push(id);
      id = parentsOf(id).find(({ kind }) => kind === 'base')?.to;
    }
    for (const id of spine) for (const { kind, to } of parentsOf(id)) visit(to, kind);
  }

  function parentsOf(id: string): readonly LineageEdge[] {
    const edges = lineage.edges.filter(({ from }) => from === id);
    return [...edges.filter(({ kind }) => kind === 'base'), ...edges.filter(({ kind }) => kind !== 'base')];
  }
}

function headlineOf({ verdict }: VetReport): string {
  const failed = verdict.reasons.filter(({ outcome }) => outcome === 'fail').length;
  const errors = verdict.reasons.filter(({ outcome }) => outcome === 'error').length;
  const waived = verdict.reasons.filter(({ outcome }) => outcome === 'waived').length;
  if (verdict.decision === 'allow') {
    return waived === 0
      ? 'Every rule holds.'
      : `Every rule holds or is waived (${counted(waived, 'waiver')}).`;
  }
  const parts = [
    ...(failed === 0 ? [] : [`${counted(failed, 'check')} failed`]),
    ...(errors === 0 ? [] : [`${counted(errors, 'check')} could not be decided`]),
  ];
  // Two numbers for two lists: several checks may lack the same thing.
  const { length } = verdict.gaps;
  const missing =
    length === 0 ? '' : `; ${counted(length, 'thing')} ${length === 1 ? 'was' : 'were'} not checked`;
  return `${parts.join(' and ')}${missing}.`;
}
