import { ImagevetError, parseReference, withDefaultTag } from '@imagevet/registry';
import type { BaseName } from './types.ts';

/** Stages that can be named: the index of the last one of each name, and how many there are. */
export interface KnownStages {
  readonly count: number;
  readonly byName: ReadonlyMap<string, number>;
}

/** Stage names are looked up case-insensitively, before `scratch`; the last stage of a name wins. */
export function stageNamed(name: string, text: string, { byName }: KnownStages): BaseName | undefined {
  const stage = byName.get(name.toLowerCase());
  if (stage !== undefined) return { kind: 'stage', stage, text };
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
