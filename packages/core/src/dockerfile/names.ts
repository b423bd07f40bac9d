import { ImagevetError, parseReference, withDefaultTag } from '@imagevet/registry';
import type { BaseName, DockerfileStage } from './types.ts';

/** Stage names are looked up case-insensitively, before `scratch`; the last stage of a name wins. */
export function stageNamed(
  name: string,
  text: string,
  among: readonly DockerfileStage[],
): BaseName | undefined {
  const stage = among.findLastIndex((each) => each.name !== undefined && each.name === name.toLowerCase());
  if (stage >= 0) return { kind: 'stage', stage, text };
  return name === 'scratch' ? { kind: 'scratch', text: 'scratch' } : undefined;
}

/** What a name means that is no stage's. */
export function imageNamed(name: string, text: string): BaseName {
  try {
    return { kind: 'image', reference: withDefaultTag(parseReference(name)), text };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return { kind: 'unresolved', text, reason: error.message };
  }
}
