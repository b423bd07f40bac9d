import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import type { Dockerfile } from '../dockerfile/types.ts';
import { CoreError } from '../errors.ts';
import type { PlatformDivergence } from '../lineage/resolve-lineages.ts';
import type { Lineage, LineageNode } from '../lineage/types.ts';
import { FindingCollector } from './collect.ts';
import type { AuditRule } from './rule.ts';
import { auditRules } from './rules/index.ts';
import type { Finding } from './types.ts';
import { type DockerfileUnit, prepareDockerfile } from './unit.ts';

/** Options of {@link auditDockerfile} and {@link auditLineage}. */
export interface AuditOptions {
  /** Rules to apply. @defaultValue {@link auditRules} */
  readonly rules?: readonly AuditRule[];
  /** Ids of rules to leave out. */
  readonly disable?: readonly string[];
  /** The time of the audit, for rules about support periods. @defaultValue now */
  readonly now?: Date;
}

/** Options of {@link auditLineage}. */
export interface AuditLineageOptions extends AuditOptions {
  /** What `resolveLineages()` found other platforms of the image to have otherwise. @defaultValue not looked at */
  readonly divergences?: readonly PlatformDivergence[];
}

/** Options of {@link auditDockerfile}. */
export interface AuditDockerfileOptions extends AuditOptions {
  /** What findings give as their `node`. @defaultValue `Dockerfile` */
  readonly node?: string;
}

/**
 * Applies the Dockerfile rules to one Dockerfile, without lineage and image. Pure. Findings are ordered by line,
 * then by rule.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for an unknown rule id in `disable`
 */
export function auditDockerfile(
  dockerfile: Dockerfile,
  options: AuditDockerfileOptions = {},
): readonly Finding[] {
  const { node = 'Dockerfile', now = new Date() } = options;
  const collector = new FindingCollector();
  const unit = prepareDockerfile(dockerfile, { now, final: true });
  applyDockerfileRules(selectRules(options), unit, { id: node }, collector);
  return collector.findings([node]);
}

/**
 * Applies all rules to every image of a lineage: to the text of each Dockerfile and to what the images are to
 * each other. Pure, no I/O. An image without Dockerfile text is a finding itself (VET081). Findings are ordered as
 * the lineage orders its nodes (the image asked about first), then by line, then by rule.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for an unknown rule id in `disable`
 */
export function auditLineage(lineage: Lineage, options: AuditLineageOptions = {}): readonly Finding[] {
  const { now = new Date(), divergences } = options;
  const compared = divergences === undefined ? {} : { divergences };
  const rules = selectRules(options);
  const collector = new FindingCollector();
  const dockerfiles = new Map<string, DockerfileUnit>();
  const unparsed = new Map<string, string>();
  for (const node of lineage.nodes) {
    if (node.dockerfile.text === undefined) continue;
    try {
      const dockerfile = parseDockerfile(node.dockerfile.text, {
        platform: node.platform,
        ...node.dockerfile.parameters,
      });
      const unit = prepareDockerfile(dockerfile, { now, node, final: node.id === lineage.root });
      dockerfiles.set(node.id, unit);
      applyDockerfileRules(rules, unit, node, collector);
    } catch (error) {
      if (!CoreError.is(error) || error.code !== 'INVALID_DOCKERFILE') throw error;
      unparsed.set(node.id, error.message);
    }
  }
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  for (const rule of rules) {
    if (rule.appliesTo !== 'lineage') continue;
    for (const draft of rule.check({ lineage, now, dockerfiles, unparsed, ...compared })) {
      const id = draft.node ?? lineage.root;
      collector.add(rule, draft, nodes.get(id) ?? { id }, nodes.get(id)?.dockerfile.text);
    }
  }
  return collector.findings(lineage.nodes.map(({ id }) => id));
}

function applyDockerfileRules(
  rules: readonly AuditRule[],
  unit: DockerfileUnit,
  node: LineageNode | { readonly id: string },
  collector: FindingCollector,
): void {
  for (const rule of rules) {
    if (rule.appliesTo !== 'dockerfile') continue;
    for (const draft of rule.check(unit)) collector.add(rule, draft, node, unit.dockerfile.text);
  }
}

function selectRules({ rules = auditRules, disable = [] }: AuditOptions): readonly AuditRule[] {
  const known = new Set([...auditRules, ...rules].map(({ id }) => id));
  const unknown = disable.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new CoreError('INVALID_OPTIONS', `cannot disable unknown rules: ${unknown.join(', ')}`, {
      hint: 'the ids are those of auditRules',
    });
  }
  return rules.filter(({ id }) => !disable.includes(id));
}
