import {
  type ImageReference,
  ImagevetError,
  parseReference,
  RegistryError,
  type ResolvedImage,
  withDefaultTag,
} from '@imagevet/registry';
import type { ReadImage } from '../node/read-image.ts';
import type { ProvenanceClaim } from '../types.ts';
import { names } from './names.ts';

/** A base that a claim names by digest, or by another name than the one sought, and that image when a registry shows it. */
export interface NamedBase {
  readonly claim: ProvenanceClaim;
  /** Of the digest; without one, what the name stands for today. */
  readonly image?: ResolvedImage;
  /** False when the claim names another image than the one sought. */
  readonly agrees: boolean;
}

/** Images read because somebody names them. */
const MAX_NAMED = 32;

/** Reads the bases claims name by another digest than the one the base is sought by. */
export function readNamedBases(
  claims: readonly ProvenanceClaim[],
  sought: ImageReference,
  { pinned, ...options }: ReadNamedOptions & { readonly pinned?: ImageReference['digest'] },
): Promise<readonly NamedBase[]> {
  const others = claims.filter(({ base }) => base?.digest !== undefined && base.digest !== pinned);
  return readBases(others, sought, options);
}

/** Reads the bases claims name without a digest, when that is another name than the one sought. */
export function readOtherNames(
  claims: readonly ProvenanceClaim[],
  sought: ImageReference,
  options: ReadNamedOptions,
): Promise<readonly NamedBase[]> {
  const others = claims.filter(
    (claim) => claim.base !== undefined && claim.base.digest === undefined && !names(claim, sought),
  );
  return readBases(others, sought, options);
}

interface ReadNamedOptions {
  readonly readImage?: ReadImage;
  /** Reads what a digest names whatever its platform. */
  readonly readForeign?: ReadImage;
  readonly signal: AbortSignal;
}

function readBases(
  claims: readonly ProvenanceClaim[],
  sought: ImageReference,
  options: ReadNamedOptions,
): Promise<readonly NamedBase[]> {
  return Promise.all(
    claims.slice(0, MAX_NAMED).map(async (claim): Promise<NamedBase> => {
      const agrees = names(claim, sought);
      const named = agrees ? sought : referenceOf(claim);
      const digest = claim.base?.digest;
      const reference = digest === undefined ? named : named && { ...named, tag: undefined, digest };
      const image = reference === undefined ? undefined : await tryNamed(reference, options);
      return image === undefined ? { claim, agrees } : { claim, agrees, image };
    }),
  );
}

/** A digest names one image, which may be of another platform: a lie, unless its layers say otherwise. */
async function tryNamed(
  reference: ImageReference,
  options: ReadNamedOptions,
): Promise<ResolvedImage | undefined> {
  const { readForeign, signal } = options;
  const image = await tryImage(reference, options);
  if (image !== undefined || readForeign === undefined || reference.digest === undefined) return image;
  return tryImage(reference, { readImage: readForeign, signal });
}

function referenceOf({ base }: ProvenanceClaim): ImageReference | undefined {
  if (base === undefined || base.reference === 'scratch') return undefined;
  try {
    return withDefaultTag(parseReference(base.reference));
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
