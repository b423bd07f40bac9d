import {
  type Digest,
  formatReference,
  type ImageReference,
  ImagevetError,
  type Platform,
  RegistryError,
  type ResolvedImage,
} from '@imagevet/registry';
import { buildTimeOf } from './build-time.ts';
import { names } from './names.ts';
import type { OtherVersions } from './options.ts';
import { provePrefix } from './prove-prefix.ts';
import type { ReadImage } from './read-image.ts';
import type { ProvenanceClaim } from './types.ts';

/** A base that a label of the child names by digest, and the image of that digest when a registry shows it. */
export interface LabelledBase {
  readonly claim: ProvenanceClaim;
  readonly image?: ResolvedImage;
}

/** What is known of a base that nobody trustworthy names by digest. */
export interface ParentSearch {
  /** The image that proves to be the base, when the one its tag names today does not. */
  readonly digest?: Digest;
  /** Today's image, when another is the base. */
  readonly moved?: Digest;
  readonly labelled: readonly LabelledBase[];
  /** Why the other versions could not be listed to their end. */
  readonly failure?: ImagevetError;
}

/** Images tried in place of the one a tag names today. */
const MAX_VERSIONS = 32;

/** How {@link findParent} looks. */
export interface FindParentOptions {
  readonly readImage?: ReadImage;
  readonly otherVersions?: OtherVersions;
  readonly platform: Platform;
  /** The time the child was asked about, for one that does not say when it was built. */
  readonly asOf?: Date;
  readonly signal: AbortSignal;
}

/**
 * Looks for the image a child was built on when its Dockerfile names a tag: the one of today, those its labels name by
 * digest, and those `otherVersions` knows. Only layers and history decide; without a proof nothing is chosen. Asks no
 * registry where there is no choice.
 */
export async function findParent(
  child: ResolvedImage,
  named: ImageReference,
  claims: readonly ProvenanceClaim[],
  options: FindParentOptions,
): Promise<ParentSearch> {
  const { otherVersions, platform, signal } = options;
  const own = claims.filter(
    (claim) => claim.kind === 'image-label' && claim.base?.digest !== undefined && names(claim, named),
  );
  if (own.length === 0 && otherVersions === undefined) return { labelled: [] };
  const [today, ...read] = await Promise.all([
    tryImage(named, options),
    ...own.map(({ base }) => tryImage({ ...named, tag: undefined, digest: base?.digest }, options)),
  ]);
  const labelled = own.map((claim, at): LabelledBase => {
    const image = read[at];
    return image === undefined ? { claim } : { claim, image };
  });
  if (today !== undefined && isBase(today, child)) return { labelled };
  const moved = today === undefined ? {} : { moved: today.manifest.digest };
  for (const { image } of labelled) {
    if (image !== undefined && isBase(image, child)) {
      return { digest: image.manifest.digest, ...moved, labelled };
    }
  }
  const asOf = buildTimeOf(child, claims).time ?? options.asOf;
  const about = { signal, platform, ...(asOf === undefined ? {} : { asOf }) };
  let tried = 0;
  try {
    for await (const version of otherVersions?.(named, about) ?? []) {
      if (tried >= MAX_VERSIONS) break;
      tried += 1;
      const image = await tryImage(version, options);
      if (image !== undefined && isSameRepository(version, named) && isBase(image, child)) {
        return { digest: image.manifest.digest, ...moved, labelled };
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    return { labelled, failure: error };
  }
  return { labelled };
}

/** Tells whether layers and history prove an image to be a child's base. */
export function isBase(parent: ResolvedImage, child: ResolvedImage): boolean {
  const { result, history } = provePrefix(parent, child);
  return result === 'proven' && history;
}

function isSameRepository(one: ImageReference, other: ImageReference): boolean {
  const bare = (reference: ImageReference) =>
    formatReference({ ...reference, tag: 'any', digest: undefined });
  return bare(one) === bare(other);
}

/** A candidate that cannot be read is none; that the base itself cannot be read is told where it is visited. */
async function tryImage(
  reference: ImageReference,
  { readImage, signal }: FindParentOptions,
): Promise<ResolvedImage | undefined> {
  try {
    return await readImage?.(reference);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RegistryError)) throw error;
    return undefined;
  }
}
