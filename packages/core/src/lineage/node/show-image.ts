import { type ImageReference, type Platform, RegistryError, type ResolvedImage } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import { isNoTime } from './build-time.ts';
import type { ReadImage } from './read-image.ts';

/** Which image of a lineage is looked at. */
export interface ShownSubject {
  readonly id: string;
  readonly reference: ImageReference;
  /** What it is taken on: that of the image it is for, unless a `--platform` says otherwise. */
  readonly platform: Platform;
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
  /** What the digest it is pinned to names instead, when that is an image of another platform. */
  readonly foreign?: ResolvedImage;
  readonly failure?: RegistryError;
  readonly gaps: readonly Gap[];
}

/** Who shows images. */
export interface ShowImageServices {
  readonly readImage?: ReadImage;
  /** Reads what a digest names whatever its platform. */
  readonly readForeign?: ReadImage;
  readonly signal: AbortSignal;
}

/**
 * Reads an image by the digest it is pinned to, or else by its name. What was made after the time asked about is not it.
 *
 * @throws {@link RegistryError} `DIGEST_MISMATCH`, `AMBIGUOUS_MANIFEST` for the image asked about
 */
export async function showImage(
  { id, reference, pinned, isRoot, upTo }: ShownSubject,
  { readImage: read, readForeign, signal }: ShowImageServices,
): Promise<ShownImage> {
  if (read === undefined) return { gaps: [] };
  const candidates =
    pinned === undefined ? [reference] : [{ ...reference, tag: undefined, digest: pinned }, reference];
  let failure: RegistryError | undefined;
  let foreign: { readonly foreign?: ResolvedImage } = {};
  for (const candidate of candidates) {
    try {
      const found = await read(candidate);
      const { created = 'at an unknown time' } = found;
      if (
        upTo === undefined ||
        candidate.digest !== undefined ||
        Date.parse(found.created ?? '') <= upTo.getTime()
      ) {
        const gaps = upTo === undefined || candidate.digest !== undefined ? [] : undated(id, created, upTo);
        return { image: { ...found, reference }, ...foreign, gaps };
      }
      const message = `the registry's image was made ${created}, after the time asked about`;
      return { ...foreign, gaps: [{ stage: 'resolve', code: 'IMAGE_NEWER_THAN_AS_OF', message, node: id }] };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      // Content that is not what it should be must stop the vetting, not merely leave a hole in it.
      if (isRoot && (error.code === 'DIGEST_MISMATCH' || error.code === 'AMBIGUOUS_MANIFEST')) throw error;
      failure ??= error;
      if (candidate.digest !== undefined && error.code === 'PLATFORM_NOT_FOUND') {
        foreign = await tryForeign(candidate, readForeign, signal);
      }
    }
  }
  if (failure === undefined) return { gaps: [] };
  const hint = failure.hint === undefined ? {} : { hint: failure.hint };
  return {
    ...{ failure, ...foreign },
    gaps: [{ stage: 'resolve', code: failure.code, message: failure.message, node: id, ...hint }],
  };
}

/** What a name stands for now may be younger than the time asked about, and not say so. */
function undated(node: string, created: string, upTo: Date): readonly Gap[] {
  if (!isNoTime(new Date(created))) return [];
  const message = `the registry's image says that it was made ${created}, which is no time: whether it is as of ${upTo.toISOString()} is not known`;
  const hint = 'Name it by digest, or ask as of now.';
  return [{ stage: 'resolve', code: IMAGE_TIME_UNKNOWN, message, node, hint }];
}

/** Of an image that does not say when it was made; settled where one built on it proves that it was there. */
export const IMAGE_TIME_UNKNOWN = 'IMAGE_TIME_UNKNOWN';

async function tryForeign(
  reference: ImageReference,
  read: ReadImage | undefined,
  signal: AbortSignal,
): Promise<{ readonly foreign?: ResolvedImage }> {
  try {
    return read === undefined ? {} : { foreign: await read(reference) };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RegistryError)) throw error;
    return {};
  }
}
