import { type ImageReference, RegistryError, type ResolvedImage } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import type { ReadImage } from './read-image.ts';

/** Which image of a lineage is looked at. */
export interface ShownSubject {
  readonly id: string;
  readonly reference: ImageReference;
  /** Digest it is read by instead of its name. */
  readonly pinned?: ImageReference['digest'];
  /** Whether it is the image asked about. */
  readonly isRoot: boolean;
  /** What its name stands for is known only until then. */
  readonly upTo?: Date;
}

/** What a registry showed of an image. */
export interface ShownImage {
  readonly image?: ResolvedImage;
  readonly failure?: RegistryError;
  readonly gaps: readonly Gap[];
}

/**
 * Reads an image by the digest it is pinned to, or else by its name. What was made after the time asked about is not it.
 *
 * @throws {@link RegistryError} `DIGEST_MISMATCH`, `AMBIGUOUS_MANIFEST` for the image asked about
 */
export async function showImage(
  { id, reference, pinned, isRoot, upTo }: ShownSubject,
  read: ReadImage | undefined,
  signal: AbortSignal,
): Promise<ShownImage> {
  if (read === undefined) return { gaps: [] };
  const candidates =
    pinned === undefined ? [reference] : [{ ...reference, tag: undefined, digest: pinned }, reference];
  let failure: RegistryError | undefined;
  for (const candidate of candidates) {
    try {
      const found = await read(candidate);
      const { created = 'at an unknown time' } = found;
      if (
        upTo === undefined ||
        candidate.digest !== undefined ||
        Date.parse(found.created ?? '') <= upTo.getTime()
      ) {
        return { image: { ...found, reference }, gaps: [] };
      }
      const message = `the registry's image was made ${created}, after the time asked about`;
      return { gaps: [{ stage: 'resolve', code: 'IMAGE_NEWER_THAN_AS_OF', message, node: id }] };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      // Content that is not what it should be must stop the vetting, not merely leave a hole in it.
      if (isRoot && (error.code === 'DIGEST_MISMATCH' || error.code === 'AMBIGUOUS_MANIFEST')) throw error;
      failure ??= error;
    }
  }
  if (failure === undefined) return { gaps: [] };
  const hint = failure.hint === undefined ? {} : { hint: failure.hint };
  return {
    failure,
    gaps: [{ stage: 'resolve', code: failure.code, message: failure.message, node: id, ...hint }],
  };
}
