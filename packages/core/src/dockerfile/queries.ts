import { invalid } from './invalid.ts';
import type { BaseName, Dockerfile, DockerfileStage } from './types.ts';

/** The stage that becomes the image: the last one, or the one `target` names. @throws CoreError `INVALID_DOCKERFILE` */
export function finalStage(dockerfile: Dockerfile, target?: string): DockerfileStage {
  const stage =
    target === undefined
      ? dockerfile.stages.at(-1)
      : dockerfile.stages.find(
          ({ name, index }) => name === target.toLowerCase() || String(index) === target,
        );
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
}

/** Everything a build of the file takes from outside it: the final stage's base first. */
export function externalImages(dockerfile: Dockerfile, target?: string): readonly ExternalImage[] {
  const final = finalStage(dockerfile, target);
  const base = baseOf(dockerfile, final);
  const images: ExternalImage[] = [{ kind: 'base', name: base, line: final.startLine }];
  for (const stage of dockerfile.stages.slice(0, final.index + 1)) {
    const isSpine = stage.base.kind !== 'stage' && stage.base === base;
    if (stage.base.kind !== 'stage' && !isSpine && stage.base.kind !== 'scratch') {
      images.push({ kind: 'stage', name: stage.base, line: stage.startLine });
    }
    for (const { kind, name, startLine } of stage.inputs) {
      if (name.kind === 'image' || name.kind === 'unresolved') images.push({ kind, name, line: startLine });
    }
  }
  return images;
}
