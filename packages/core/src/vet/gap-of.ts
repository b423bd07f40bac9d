import { ImagevetError } from '@imagevet/registry';
import type { Gap } from '../errors.ts';

/** An imagevet error becomes a gap; an abort or a bug is not softened. */
export function gapOf(stage: Gap['stage'], error: unknown, signal: AbortSignal | undefined): Gap {
  if (signal?.aborted === true || !ImagevetError.is(error)) throw error;
  return {
    stage,
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}
