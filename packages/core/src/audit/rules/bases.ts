import { familiarReference } from '@imagevet/registry';
import type { BaseName, DockerfileStage } from '../../dockerfile/types.ts';
import type { AuditRule, FindingDraft } from '../rule.ts';
import type { DockerfileUnit } from '../unit.ts';
import { floatingTag } from './tags.ts';

/** Rules about the images a Dockerfile builds on. */
export const baseRules: readonly AuditRule[] = [
  {
    id: 'VET001',
    title: 'Base image is not pinned by digest',
    severity: 'medium',
    rationale:
      'A tag can be moved to other content at any time, by its publisher or by whoever stole their credentials.',
    remediation: 'Write the digest behind the tag: FROM name:tag@sha256:..., and let a tool raise it.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { stage, name } of unpinnedBases(unit)) {
        if (usesArgument(stage) || floatingTag(name.reference) !== undefined) continue;
        yield {
          message: `FROM ${familiarReference(name.reference)} names a tag, not content`,
          lines: fromLines(stage),
        };
      }
    },
  },
  {
    id: 'VET002',
    title: 'Base image tag floats',
    severity: 'high',
    rationale: 'Without a tag, or with one such as latest, every build may start from another major version.',
    remediation: 'Name a release, and pin it by digest.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { stage, name } of unpinnedBases(unit)) {
        const floating = floatingTag(name.reference);
        if (floating === undefined) continue;
        const severity = floating.major ? 'medium' : undefined;
        yield {
          message: `FROM ${familiarReference(name.reference)} ${floating.reason}`,
          severity,
          lines: fromLines(stage),
        };
      }
    },
  },
  {
    id: 'VET003',
    title: 'Base image is chosen by a build argument',
    severity: 'medium',
    rationale: 'Who runs the build decides what the image is built on; the Dockerfile alone does not tell.',
    remediation: 'Give the ARG a default that is pinned by digest, or write the image into FROM.',
    appliesTo: 'dockerfile',
    *check({ dockerfile }) {
      for (const stage of dockerfile.stages) {
        if (!usesArgument(stage)) continue;
        if (stage.base.kind === 'unresolved') {
          const message = `FROM ${stage.fromText} cannot be resolved: ${stage.base.reason}`;
          yield { message, severity: 'high', lines: fromLines(stage) };
        } else if (stage.base.kind === 'image' && stage.base.reference.digest === undefined) {
          const message = `FROM ${stage.fromText} is ${familiarReference(stage.base.reference)} by default, which is not pinned by digest`;
          yield { message, lines: fromLines(stage) };
        }
      }
    },
  },
  {
    id: 'VET004',
    title: 'Dockerfile frontend is not pinned by digest',
    severity: 'low',
    rationale: 'The image named by `# syntax=` interprets the whole Dockerfile; its tag can move.',
    remediation: 'Pin it by digest, or remove the line and use the frontend inside the builder.',
    appliesTo: 'dockerfile',
    *check({ dockerfile: { syntax } }) {
      if (syntax === undefined || syntax.text.includes('@sha256:') || !isDockersFrontend(syntax.text)) return;
      yield { message: `# syntax=${syntax.text} names a tag, not content`, lines: line(syntax.line) };
    },
  },
  {
    id: 'VET006',
    title: 'Files come from another image that is not pinned by digest',
    severity: 'high',
    rationale:
      'COPY --from and RUN --mount=from take files out of an image nobody sees in FROM; its tag can move.',
    remediation: 'Pin that image by digest, best as a named stage of its own.',
    appliesTo: 'dockerfile',
    *check({ dockerfile }) {
      for (const stage of dockerfile.stages) {
        for (const { kind, name, startLine, endLine } of stage.inputs) {
          const flag = kind === 'copy-from' ? 'COPY --from' : 'RUN --mount=from';
          const lines = { startLine, endLine };
          if (name.kind === 'unresolved') {
            yield { message: `${flag}=${name.text} cannot be resolved: ${name.reason}`, lines };
          } else if (name.kind === 'image' && name.reference.digest === undefined) {
            yield { message: `${flag}=${familiarReference(name.reference)} names a tag, not content`, lines };
          }
        }
      }
    },
  },
  {
    id: 'VET007',
    title: 'Dockerfile frontend is not the official one',
    severity: 'high',
    rationale:
      'The frontend sees the build context and secrets and decides what is built, whatever the text says.',
    remediation: 'Use docker/dockerfile, or review the named frontend and pin it by digest.',
    appliesTo: 'dockerfile',
    *check({ dockerfile: { syntax } }) {
      if (syntax === undefined || isDockersFrontend(syntax.text)) return;
      yield { message: `# syntax=${syntax.text} is not docker/dockerfile`, lines: line(syntax.line) };
    },
  },
];

function* unpinnedBases(
  unit: DockerfileUnit,
): Generator<{ stage: DockerfileStage; name: BaseName & { kind: 'image' } }> {
  for (const stage of unit.dockerfile.stages) {
    if (stage.base.kind === 'image' && stage.base.reference.digest === undefined) {
      yield { stage, name: stage.base };
    }
  }
}

/** The line of a stage's FROM. */
export function fromLines(stage: DockerfileStage): FindingDraft['lines'] {
  return line(stage.startLine);
}

function line(number: number): NonNullable<FindingDraft['lines']> {
  return { startLine: number, endLine: number };
}

function usesArgument(stage: DockerfileStage): boolean {
  return stage.fromText.includes('$');
}

function isDockersFrontend(text: string): boolean {
  return /^(?:(?:docker\.io|index\.docker\.io)\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)/.test(text);
}
