import {
  type ImageReference,
  ImagevetError,
  parseReference,
  RegistryError,
  type ResolvedImage,
} from '@imagevet/registry';
import { names } from './names.ts';
import type { ReadImage } from './read-image.ts';
import type { ProvenanceClaim } from './types.ts';

/** A base that a claim names by digest, and the image of that digest when a registry shows it. */
export interface NamedBase {
  readonly claim: ProvenanceClaim;
  readonly image?: ResolvedImage;
  /** False when the claim names another image than the one sought. */
  readonly agrees: boolean;
}

/** Images read because somebody names them. */
const MAX_NAMED = 32;

/** Reads the bases claims name by another digest than the one the base is sought by. */
export async function readNamedBases(
  claims: readonly ProvenanceClaim[],
  sought: ImageReference,
  {
    pinned,
    ...options
  }: {
    readonly pinned?: ImageReference['digest'];
    readonly readImage?: ReadImage;
    readonly signal: AbortSignal;
  },
): Promise<readonly NamedBase[]> {
  const others = claims.filter(({ base }) => base?.digest !== undefined && base.digest !== pinned);
  return Promise.all(
    others.slice(0, MAX_NAMED).map(async (claim): Promise<NamedBase> => {
      const agrees = names(claim, sought);
      const reference = agrees ? sought : referenceOf(claim);
      const digest = claim.base?.digest;
      const image =
        reference === undefined
          ? undefined
          : await tryImage({ ...reference, tag: undefined, digest }, options);
      return image === undefined ? { claim, agrees } : { claim, agrees, image };
    }),
  );
}

function referenceOf({ base }: ProvenanceClaim): ImageReference | undefined {
  try {
    return parseReference(base?.reference ?? '');
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return undefined;
  }
}

/** A candidate that cannot be read is none; that the base itself cannot be read is told where it is visited. */
export async function tryImage(
  reference: ImageReference,
  { readImage, signal }: { readonly readImage?: ReadImage; readonly signal: AbortSignal },
): Promise<ResolvedImage | undefined> {
  try {
    return await readImage?.(reference);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RegistryError)) throw error;
    return undefined;
  }
}
