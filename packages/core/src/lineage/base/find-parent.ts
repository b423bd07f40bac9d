import {
  type Digest,
  formatReference,
  type ImageReference,
  ImagevetError,
  type Platform,
  type ResolvedImage,
} from '@imagevet/registry';
import type { LineageCache } from '../lineage-cache.ts';
import { buildTimeOf } from '../node/build-time.ts';
import type { ReadImage } from '../node/read-image.ts';
import type { OtherVersions } from '../options.ts';
import type { ProvenanceClaim } from '../types.ts';
import { type NamedBase, readNamedBases, tryImage } from './named-bases.ts';
import { provePrefix } from './prove-prefix.ts';

/** What is known of a base that nobody trustworthy names by digest. */
export interface ParentSearch {
  /** The image that proves to be the base, when the one its tag names today does not. */
  readonly digest?: Digest;
  /** Today's image, when another is the base. */
  readonly moved?: Digest;
  /** Bases claims name by another digest than the one the base was sought by. */
  readonly named: readonly NamedBase[];
  /** Other versions that were tried, and are not the base; absent when nobody was asked for any. */
  readonly tried?: number;
  /** Why the other versions could not be listed to their end. */
  readonly failure?: ImagevetError;
}

/** Images tried in place of the one a tag names today. */
const MAX_VERSIONS = 32;

/** How {@link findParent} looks. */
export interface FindParentOptions {
  readonly readImage?: ReadImage;
  readonly readForeign?: ReadImage;
  readonly otherVersions?: OtherVersions;
  readonly cache?: LineageCache;
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
  sought: ImageReference,
  claims: readonly ProvenanceClaim[],
  options: FindParentOptions,
): Promise<ParentSearch> {
  const { otherVersions, platform, cache, signal } = options;
  const isNamed = claims.some(({ base }) => base?.digest !== undefined);
  if (!isNamed && otherVersions === undefined) return { named: [] };
  const [today, named] = await Promise.all([
    tryImage(sought, options),
    readNamedBases(claims, sought, options),
  ]);
  if (today !== undefined && isBase(today, child)) return { named };
  const moved = today === undefined ? {} : { moved: today.manifest.digest };
  for (const { image, agrees } of named) {
    if (agrees && image !== undefined && isBase(image, child)) {
      return { digest: image.manifest.digest, ...moved, named };
    }
  }
  const asOf = buildTimeOf(child, claims).time ?? options.asOf;
  if (otherVersions === undefined) return { named };
  const about = {
    ...{ signal, platform },
    ...(cache === undefined ? {} : { cache }),
    ...(asOf === undefined ? {} : { asOf }),
  };
  let tried = 0;
  try {
    for await (const version of otherVersions(sought, about)) {
      if (tried >= MAX_VERSIONS) break;
      tried += 1;
      const image = await tryImage(version, options);
      if (image !== undefined && isSameRepository(version, sought) && isBase(image, child)) {
        return { digest: image.manifest.digest, ...moved, named };
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    return { named, failure: error };
  }
  return { named, tried };
}

/** Tells whether layers and history prove an image to be a child's base; no image is its own. */
export function isBase(parent: ResolvedImage, child: ResolvedImage): boolean {
  if (parent.manifest.digest === child.manifest.digest) return false;
  const { result, history } = provePrefix(parent, child);
  return result === 'proven' && history;
}

function isSameRepository(one: ImageReference, other: ImageReference): boolean {
  const bare = (reference: ImageReference) =>
    formatReference({ ...reference, tag: 'any', digest: undefined });
  return bare(one) === bare(other);
}
