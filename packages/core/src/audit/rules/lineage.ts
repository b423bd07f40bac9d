import { rootfsArchiveOf } from '../../lineage/dockerfile/rootfs.ts';
import type { LineageNode } from '../../lineage/types.ts';
import type { AuditRule } from '../rule.ts';
import { fromLines } from './bases.ts';
import { RELEASES_AS_OF, releaseOf } from './distributions.ts';
import { shown } from './shown.ts';

/** Rules about what the images of a lineage are to each other. */
export const lineageRules: readonly AuditRule[] = [
  {
    id: 'VET060',
    title: 'Distribution release is past its support',
    severity: 'high',
    rationale: 'Known holes in it stay open, and scanners that follow its advisories report nothing new.',
    remediation: 'Move to a supported release.',
    appliesTo: 'dockerfile',
    *check({ dockerfile, now }) {
      const today = now.toISOString().slice(0, 10);
      for (const stage of dockerfile.stages) {
        if (stage.base.kind !== 'image') continue;
        const release = releaseOf(stage.base.reference);
        if (release === undefined || release.supportEnds >= today) continue;
        const { distribution, version, supportEnds, longTermEnds } = release;
        const extended = longTermEnds !== undefined && longTermEnds >= today;
        const ended = `${distribution} ${version} has had no security support since ${supportEnds}`;
        const rest = extended ? `, only long-term support until ${longTermEnds}` : '';
        const message = `${ended}${rest} (dates as of ${RELEASES_AS_OF})`;
        yield { message, severity: extended ? 'low' : undefined, lines: fromLines(stage) };
      }
    },
  },
  {
    id: 'VET061',
    title: 'Image is not built on what it claims',
    severity: 'high',
    rationale:
      'The layers or the history of the named parent are not those this image starts with: the source shown is not the source used.',
    remediation: 'Find out what it was built on before using it; rebuild it from the named source.',
    appliesTo: 'lineage',
    *check({ lineage, dockerfiles }) {
      for (const edge of lineage.edges) {
        if (edge.grade !== 'contradicted') continue;
        const refuted = edge.evidence
          .filter(({ verdict }) => verdict === 'refutes')
          .map(({ message }) => message);
        const reason = refuted.length === 0 ? '' : `: ${refuted.join('; ')}`;
        const known = edge.line !== undefined && dockerfiles.has(edge.from);
        yield {
          message: `${edge.name} is contradicted as ${edge.kind} of ${edge.from}${reason}`,
          node: edge.from,
          lines: known ? { startLine: edge.line!, endLine: edge.line! } : undefined,
        };
      }
    },
  },
  {
    id: 'VET062',
    title: 'Dockerfile does not explain the image',
    severity: 'high',
    rationale:
      'An instruction is missing from the history, or the history has one the Dockerfile lacks: something else was built.',
    remediation: 'Do not rely on this Dockerfile; rebuild from it and compare.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      for (const { id, dockerfile } of lineage.nodes) {
        if (dockerfile.consistency !== 'inconsistent') continue;
        const line = dockerfile.inconsistency?.line;
        const lines =
          line === undefined || dockerfile.text === undefined
            ? undefined
            : { startLine: line, endLine: line };
        const message = dockerfile.inconsistency?.message ?? 'Dockerfile and history differ';
        yield { message, node: id, lines };
      }
    },
  },
  {
    id: 'VET063',
    title: 'Base image runs its own instructions in this build',
    severity: 'info',
    rationale:
      'ONBUILD triggers of a parent run in every build on it and stand in no Dockerfile of the child.',
    remediation: 'Read them as part of the child Dockerfile.',
    appliesTo: 'lineage',
    *check({ lineage, dockerfiles }) {
      const children = new Map(
        lineage.edges
          .filter(({ kind }) => kind === 'base' || kind === 'stage')
          .map(({ from, to }) => [to, from]),
      );
      for (const node of lineage.nodes) {
        const child = children.get(node.id);
        if (child === undefined) continue;
        const written =
          dockerfiles
            .get(node.id)
            ?.stages.at(-1)
            ?.instructions.filter(({ onBuild }) => onBuild) ?? [];
        for (const { instruction } of written) {
          yield {
            message: `ONBUILD ${instruction.keyword} runs when ${child} is built`,
            node: node.id,
            lines: instruction,
          };
        }
        if (written.length > 0) continue;
        for (const trigger of node.image?.execution.OnBuild ?? []) {
          yield { message: `ONBUILD ${shown(trigger)} runs when ${child} is built`, node: node.id };
        }
      }
    },
  },
  {
    id: 'VET064',
    title: 'Dockerfile comes from a commit outside the repository',
    severity: 'critical',
    rationale:
      'The host shows the commit, but no branch or tag holds it: git hosts show commits of any fork under the address of the original, and nobody there accepted it.',
    remediation: 'Trust only commits that a branch or tag of the repository contains.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      for (const { id, dockerfile } of lineage.nodes) {
        // A commit that is gone, or whose repository is, gave no bytes to distrust: VET081 says that they are missing.
        if (dockerfile.status !== 'found' || dockerfile.reachability !== 'unreachable') continue;
        const { repository = 'the repository', commit = '' } = dockerfile.location ?? {};
        yield { message: `no branch or tag of ${repository} contains commit ${commit}`.trim(), node: id };
      }
    },
  },
  {
    id: 'VET065',
    title: 'Sources disagree about an image',
    severity: 'medium',
    rationale: 'Two statements about where an image comes from cannot both be true; one of them misleads.',
    remediation: 'Compare the statements; the signed one weighs more than the description.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      for (const { node, about, statements } of lineage.conflicts) {
        const said = statements.map(({ kind, value }) => `${kind} says ${shown(value)}`).join(', ');
        yield { message: `about its ${about}: ${said}`, node };
      }
    },
  },
  {
    id: 'VET066',
    title: 'Platforms of the image are not of one make',
    severity: 'low',
    rationale:
      'What was read and decided about one platform does not hold for another that comes from other source or stands on another base.',
    remediation: 'Vet each platform that is to be run.',
    appliesTo: 'lineage',
    *check({ divergences = [] }) {
      for (const { code, values } of divergences) {
        const said = Object.entries(values).map(
          ([value, platforms]) => `${platforms.join(', ')}: ${shown(value)}`,
        );
        const what = code === 'PLATFORM_SOURCE_DIFFERS' ? 'source' : 'bases';
        yield { message: `its ${what} by platform: ${said.join('; ')}` };
      }
    },
  },
  {
    id: 'VET081',
    title: 'Dockerfile not available, not audited',
    severity: 'info',
    rationale: 'Nothing is known of how this image was made; that it has no findings means nothing.',
    remediation: 'Ask the publisher for the source, or build the image from a Dockerfile of your own.',
    appliesTo: 'lineage',
    *check({ lineage }) {
      for (const node of lineage.nodes) {
        if (node.dockerfile.text === undefined)
          yield { message: `not audited: ${missing(node)}`, node: node.id };
      }
    },
  },
  {
    id: 'VET082',
    title: 'Dockerfile could not be read, not audited',
    severity: 'medium',
    rationale: 'No builder accepts such a text, so the image was not made from it as it stands.',
    remediation: 'Look at the file; its address may name something else than a Dockerfile.',
    appliesTo: 'lineage',
    *check({ unparsed }) {
      for (const [node, reason] of unparsed) yield { message: `not audited: ${reason}`, node };
    },
  },
  {
    id: 'VET084',
    title: 'Root filesystem is imported as it is',
    severity: 'info',
    rationale:
      'Its files come as a whole from an archive or an OCI layout. Nothing in this source says how they were made, and building it again only unpacks them again.',
    remediation: 'Know who makes the archive, and how; hold it against a build of your own or a signature.',
    appliesTo: 'lineage',
    *check({ lineage, dockerfiles }) {
      for (const { id, end, dockerfile } of lineage.nodes) {
        if (end !== 'rootfs-import') continue;
        const file = dockerfiles.get(id)?.dockerfile;
        const archive = file === undefined ? undefined : rootfsArchiveOf(file);
        const from = shown(archive?.path ?? dockerfile.location?.path ?? 'an OCI layout');
        const message = `all its files come from ${from}`;
        yield { message, node: id, lines: archive?.instruction };
      }
    },
  },
];

function missing(node: LineageNode): string {
  switch (node.dockerfile.status) {
    case 'commit-unreachable':
      return 'the named commit, or its whole repository, is gone';
    case 'file-missing':
      return 'the named file is not in the repository';
    case 'host-unreachable':
      return 'the source host could not be asked';
    case 'imported':
      return 'it is taken over from an OCI layout, and has no Dockerfile';
    default:
      return 'no source names a Dockerfile';
  }
}
