import { invalid } from './invalid.ts';
import type { BaseName, BuildParameters, Dockerfile, DockerfileStage } from './types.ts';
import { splitWords } from './words.ts';

/**
 * The stage that becomes the image: the last one, or the one that was asked for. A name goes before a number, and the last
 * stage of a name before the others. @throws CoreError `INVALID_DOCKERFILE`
 */
export function finalStage({ stages, target }: Dockerfile): DockerfileStage {
  const stage =
    target === undefined
      ? stages.at(-1)
      : (stages.findLast(({ name }) => name === target.toLowerCase()) ??
        stages.find(({ index }) => String(index) === target));
  if (stage === undefined) throw invalid(`it has no stage ${JSON.stringify(target)}`, 1);
  return stage;
}

/** The base of a stage after following `FROM <stage>` to a name outside the file. */
export function baseOf(dockerfile: Dockerfile, stage: DockerfileStage): Exclude<BaseName, { kind: 'stage' }> {
  let current = stage;
  while (current.base.kind === 'stage') {
    const next = dockerfile.stages[current.base.stage];
    if (next === undefined || next.index >= current.index)
      throw invalid('a stage is built on a later one', current.startLine);
    current = next;
  }
  return current.base;
}

/** Another image a Dockerfile uses. */
export interface ExternalImage {
  readonly kind: 'base' | 'stage' | 'copy-from' | 'mount-from' | 'frontend';
  readonly name: Exclude<BaseName, { kind: 'stage' }>;
  readonly line: number;
  /** The platform it is taken on, when the stage's `--platform` says. */
  readonly platform?: string;
}

/**
 * Everything a build of the file takes from outside it: the final stage's base first, then what the stages up to it take, and
 * the later ones they take from.
 */
export function externalImages(dockerfile: Dockerfile): readonly ExternalImage[] {
  const final = finalStage(dockerfile);
  const base = baseOf(dockerfile, final);
  const images: ExternalImage[] = [];
  for (const stage of builtStages(dockerfile, final.index)) {
    const platform = stage.platform === undefined ? {} : { platform: stage.platform };
    const isSpine = stage.base.kind !== 'stage' && stage.base === base;
    if (isSpine) images.unshift({ kind: 'base', name: base, line: final.startLine, ...platform });
    else if (stage.base.kind !== 'stage' && stage.base.kind !== 'scratch') {
      images.push({ kind: 'stage', name: stage.base, line: stage.startLine, ...platform });
    }
    for (const { kind, name, startLine } of stage.inputs) {
      if (name.kind === 'image' || name.kind === 'unresolved')
        images.push({ kind, name, line: startLine, ...platform });
    }
  }
  return images;
}

function builtStages({ stages }: Dockerfile, last: number): readonly DockerfileStage[] {
  const built = new Set(stages.slice(0, last + 1));
  for (const stage of built) {
    for (const name of [stage.base, ...stage.inputs.map((input) => input.name)]) {
      const other = name.kind === 'stage' ? stages[name.stage] : undefined;
      if (other !== undefined) built.add(other);
    }
  }
  return [...built];
}

/** ARGs a build knows without a declaration, and that decide what it makes. */
const PREDEFINED = /^(?:(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT|OSVERSION)|TARGETSTAGE)$/;

/** The parameters that reach a Dockerfile: the build arguments it declares, and the stage. Undefined when there are none. */
export function usedParameters(
  dockerfile: Dockerfile,
  { buildArgs = {}, target }: BuildParameters,
): BuildParameters | undefined {
  const { globalArgs, stages } = dockerfile;
  const instructions = [...globalArgs, ...stages.flatMap((stage) => stage.instructions)];
  const declared = new Set(
    instructions.flatMap(({ keyword, arguments: text }) =>
      keyword === 'ARG' ? splitWords(text, dockerfile.escape).map((word) => word.split('=', 1)[0]) : [],
    ),
  );
  const used = Object.entries(buildArgs).filter(([name]) => declared.has(name) || PREDEFINED.test(name));
  if (used.length === 0 && target === undefined) return undefined;
  return {
    ...(used.length === 0 ? {} : { buildArgs: Object.fromEntries(used.sort()) }),
    ...(target === undefined ? {} : { target }),
  };
}
