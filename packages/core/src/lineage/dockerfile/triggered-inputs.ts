import { ImagevetError, type Platform } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { baseOf, type ExternalImage, externalImages, finalStage } from '../../dockerfile/queries.ts';
import type { Dockerfile, DockerfileStage } from '../../dockerfile/types.ts';
import type { LineageNode } from '../types.ts';

/** What triggers take from other images, and those that cannot be read. */
export interface TriggeredInputs {
  readonly inputs: readonly ExternalImage[];
  /** Why, for each trigger that is no instruction. */
  readonly unreadable: readonly string[];
}

/**
 * What the ONBUILD triggers of a base take from other images: they run in the stage that is built on it, and stand in no
 * Dockerfile of the child. A name may be that of an earlier stage of the child.
 *
 * @param line - of the `FROM` that sets the triggers off; that of what is found
 */
export function triggeredInputs(
  base: Pick<LineageNode, 'image' | 'dockerfile' | 'platform'>,
  child: Dockerfile | undefined,
  { kind, line }: Pick<ExternalImage, 'kind' | 'line'>,
): TriggeredInputs {
  const stages = child === undefined ? [] : child.stages.slice(0, stageOf(child, kind, line).index);
  return readTriggers(triggersOf(base), { earlier: stages, line, platform: base.platform });
}

/**
 * What triggers take from other images.
 *
 * @param stage - where they run: the stages before it, the line of its `FROM`, and the platform
 */
export function readTriggers(
  triggers: readonly string[],
  stage: {
    readonly earlier: readonly Pick<DockerfileStage, 'name'>[];
    readonly line: number;
    readonly platform: Platform;
  },
): TriggeredInputs {
  const { line, platform } = stage;
  const earlier = stage.earlier.map(({ name }) => `FROM scratch${name === undefined ? '' : ` AS ${name}`}\n`);
  const inputs: ExternalImage[] = [];
  const unreadable: string[] = [];
  for (const trigger of triggers) {
    try {
      const text = `${earlier.join('')}FROM scratch\n${trigger}\n`;
      const dockerfile = parseDockerfile(text, { platform });
      // A builder takes one instruction, and no stage.
      if (
        dockerfile.stages.length !== earlier.length + 1 ||
        finalStage(dockerfile).instructions.length !== 1
      ) {
        unreadable.push('it is not one instruction');
      }
      const taken = externalImages(dockerfile).filter((input) => input.kind !== 'base');
      inputs.push(...taken.map((input) => ({ ...input, line })));
    } catch (error) {
      if (!ImagevetError.is(error)) throw error;
      unreadable.push(error.message);
    }
  }
  return { inputs, unreadable };
}

/** Those the image has; where no registry shows it, those of its Dockerfile. */
export function triggersOf({
  image,
  dockerfile,
  platform,
}: Parameters<typeof triggeredInputs>[0]): readonly string[] {
  if (image !== undefined) return image.execution.OnBuild ?? [];
  if (dockerfile.text === undefined) return [];
  try {
    return triggersIn(parseDockerfile(dockerfile.text, { platform, ...dockerfile.parameters }));
  } catch (error) {
    // That it cannot be read is told where it is visited.
    if (!ImagevetError.is(error)) throw error;
    return [];
  }
}

/** Those an image built from a Dockerfile has. */
export function triggersIn(dockerfile: Dockerfile): readonly string[] {
  const { instructions } = finalStage(dockerfile);
  return instructions.flatMap(({ keyword, arguments: text }) => (keyword === 'ONBUILD' ? [text] : []));
}

/** The stage that is built on what a `FROM` names. */
function stageOf(child: Dockerfile, kind: ExternalImage['kind'], line: number): DockerfileStage {
  const final = finalStage(child);
  if (kind !== 'base') return child.stages.find(({ startLine }) => startLine === line) ?? final;
  const base = baseOf(child, final);
  return child.stages.find((stage) => stage.base === base) ?? final;
}
