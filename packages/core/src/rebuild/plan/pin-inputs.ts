import { formatReference, type ImageReference, parseReference } from '@imagevet/registry';
import type { RebuildInput } from '../types.ts';

/**
 * The digest-qualified reference an input is built from: the rebuilt image, or the public one the plan pins. Undefined when
 * its step has no image and the plan pins nothing.
 */
export function pinnedInput(
  { reference, step, pinned }: RebuildInput,
  rebuilt: (step: string) => ImageReference | undefined,
): string | undefined {
  const image = step === undefined ? undefined : rebuilt(step);
  if (image !== undefined) return formatReference({ ...image, tag: undefined });
  return pinned === undefined
    ? undefined
    : formatReference({ ...parseReference(reference), tag: undefined, digest: pinned });
}
