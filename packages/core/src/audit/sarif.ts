import type { Lineage } from '../lineage/types.ts';
import type { AuditRule } from './rule.ts';
import { auditRules } from './rules/index.ts';
import type { Finding, Severity } from './types.ts';

/** Options of {@link renderSarif}. */
export interface RenderSarifOptions {
  /** Rules to describe, when findings were made with others. @defaultValue {@link auditRules} */
  readonly rules?: readonly AuditRule[];
  /** Version to give for this tool; left out when not given. */
  readonly version?: string;
}

/**
 * Renders findings as SARIF 2.1.0 JSON. A location is the Dockerfile in the repository that owns the line: an
 * address relative to that repository, which `originalUriBaseIds` names by repository and commit. The image stands in
 * `logicalLocations`, the finding's id in `partialFingerprints`. The same findings give the same bytes.
 *
 * @see OASIS SARIF 2.1.0, sections 3.14.14, 3.27, 3.28
 */
export function renderSarif(
  lineage: Lineage,
  findings: readonly Finding[],
  options: RenderSarifOptions = {},
): string {
  const { rules = auditRules, version } = options;
  const used = new Set(findings.map(({ rule }) => rule));
  const described = rules.filter(({ id }) => used.has(id));
  const bases = new Map<string, { readonly id: string; readonly uri: string; readonly commit: string }>();
  for (const { source } of findings) {
    if (source === undefined) continue;
    const key = `${source.repository}@${source.commit}`;
    if (bases.has(key)) continue;
    bases.set(key, {
      id: `REPOSITORY_${bases.size + 1}`,
      uri: `${source.repository}/`,
      commit: source.commit,
    });
  }
  const digests = new Map(lineage.nodes.map((node) => [node.id, node.image?.manifest.digest]));
  const results = findings.map((finding) => ({
    ruleId: finding.rule,
    ruleIndex: described.findIndex(({ id }) => id === finding.rule),
    level: LEVELS[finding.severity],
    message: { text: finding.message },
    locations: [
      {
        physicalLocation: physicalLocation(finding),
        logicalLocations: [
          { fullyQualifiedName: logicalName(finding.node, digests.get(finding.node)), kind: 'module' },
        ],
      },
    ],
    partialFingerprints: { 'imagevetFinding/v1': finding.id },
    properties: { severity: finding.severity, node: finding.node },
  }));
  const run = {
    tool: {
      driver: {
        name: 'imagevet',
        ...(version === undefined ? {} : { version }),
        rules: described.map((rule) => ({
          id: rule.id,
          shortDescription: { text: rule.title },
          fullDescription: { text: rule.rationale },
          help: { text: rule.remediation },
          defaultConfiguration: { level: LEVELS[rule.severity] },
          properties: { 'security-severity': SCORES[rule.severity] },
        })),
      },
    },
    columnKind: 'utf16CodeUnits',
    originalUriBaseIds: Object.fromEntries([...bases.values()].map(({ id, uri }) => [id, { uri }])),
    versionControlProvenance: [...bases.values()].map(({ id, uri, commit }) => ({
      repositoryUri: uri.slice(0, -1),
      revisionId: commit,
      mappedTo: { uriBaseId: id },
    })),
    results,
  };
  return `${JSON.stringify({ $schema: SCHEMA, version: '2.1.0', runs: [run] }, undefined, 2)}\n`;

  function physicalLocation({ source, lines, excerpt }: Finding): object {
    const base = source === undefined ? undefined : bases.get(`${source.repository}@${source.commit}`);
    const uri = (source?.path ?? 'Dockerfile').split('/').map(encodeURIComponent).join('/');
    const region =
      lines === undefined
        ? undefined
        : { ...lines, ...(excerpt === undefined ? {} : { snippet: { text: excerpt } }) };
    return {
      artifactLocation: base === undefined ? { uri } : { uri, uriBaseId: base.id },
      ...(region === undefined ? {} : { region }),
    };
  }
}

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

const LEVELS: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  critical: 'error',
  high: 'error',
  medium: 'warning',
  low: 'note',
  info: 'note',
};

/** What code-scanning services sort by. */
const SCORES: Readonly<Record<Severity, string>> = {
  critical: '9.5',
  high: '8.0',
  medium: '5.5',
  low: '3.0',
  info: '0.0',
};

function logicalName(node: string, digest: string | undefined): string {
  return digest === undefined ? node : `${node}@${digest}`;
}
