import { type ImageReference, ImagevetError } from '@imagevet/registry';
import pLimit from 'p-limit';
import { CoreError } from '../errors.ts';
import { createLineageCache } from './lineage-cache.ts';
import type { ResolveLineageOptions } from './options.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage } from './types.ts';

/** Options of {@link resolveFamily}. */
export interface ResolveFamilyOptions extends ResolveLineageOptions {
  /** Lineages under way at a time, 1 or more; how many questions are is up to the cache. @defaultValue 32 */
  readonly concurrency?: number;
}

/** One image of a family: its lineage, or why it has none. */
export type FamilyMember = {
  /** As it was asked for. */
  readonly reference: string | ImageReference;
} & (
  | { readonly lineage: Lineage; readonly failure?: undefined }
  | {
      readonly lineage?: undefined;
      readonly failure: { readonly code: string; readonly message: string; readonly hint?: string };
    }
);

/**
 * Resolves the lineages of many images that share ancestors: each image, library file and commit is read once, so that one
 * more image costs what is its own. All see every tag in one state, and `planRebuild` can plan for all of them.
 *
 * @returns one member for each reference, in that order; an image nobody knows is a failure of its own
 * @throws {@link CoreError} `INVALID_OPTIONS` for a limit or a concurrency below 1. Aborting rejects with `signal.reason`.
 */
export async function resolveFamily(
  references: readonly (string | ImageReference)[],
  options: ResolveFamilyOptions,
): Promise<readonly FamilyMember[]> {
  const { concurrency = 32, cache = createLineageCache(), signal } = options;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    const message = `concurrency: expected a whole number above 0, received ${concurrency}`;
    throw new CoreError('INVALID_OPTIONS', message);
  }
  const limit = pLimit(concurrency);
  const resolve = async (reference: string | ImageReference): Promise<FamilyMember> => {
    signal?.throwIfAborted();
    try {
      return { reference, lineage: await resolveLineage(reference, { ...options, cache }) };
    } catch (error) {
      signal?.throwIfAborted();
      if (!ImagevetError.is(error) || error.code === 'INVALID_OPTIONS') throw error;
      const { code, message, hint } = error;
      return { reference, failure: { code, message, ...(hint === undefined ? {} : { hint }) } };
    }
  };
  return Promise.all(references.map((reference) => limit(resolve, reference)));
}
