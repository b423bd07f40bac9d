import type { Fetcher, ImageReference, OperationOptions, Platform } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import type { LineageCache } from './lineage-cache.ts';
import type { LineageEvent, ProvenanceSource, SourceHost } from './types.ts';

/** A time, or which time. */
export type AsOf = Date | 'build' | 'now';

/** What {@link OtherVersions} is told beside the name. */
export interface OtherVersionsOptions extends OperationOptions {
  /** When the child was built, by what it says itself; else the time asked about. Absent means that it is not known. */
  readonly asOf?: Date;
  /** The platform wanted. */
  readonly platform: Platform;
  /** Keeps what is read for the other images of the run: `sharedHost(host, cache)`. */
  readonly cache?: LineageCache;
}

/**
 * Lists images a base may have been when a child was built on it: by digest, or by other tags of its repository, the likeliest
 * first. A name of another repository is passed over.
 */
export type OtherVersions = (
  reference: ImageReference,
  options: OtherVersionsOptions,
) => AsyncIterable<ImageReference> | Iterable<ImageReference>;

/** Options of `resolveLineage()`. */
export interface ResolveLineageOptions extends OperationOptions {
  /** Reads images; without it the lineage rests on claims alone. */
  readonly registry?: Fetcher;
  /** Who is asked where an image came from. All are asked; disagreement is recorded. */
  readonly sources: readonly ProvenanceSource[];
  /** Reads Dockerfiles. */
  readonly host?: SourceHost;
  /** @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /**
   * Asks as of this time. `build`: about each image as of its own build, and about a base that only a tag names as of the
   * build of its child; sources are then asked after the image has been read. @defaultValue now
   */
  readonly asOf?: AsOf;
  /** Images on one path, 1 or more. @defaultValue 32 */
  readonly maxDepth?: number;
  /** Images in all, 1 or more. @defaultValue 200 */
  readonly maxImages?: number;
  /** Values of ARGs, over the Dockerfiles' defaults and over what attestations say the images were built with. */
  readonly buildArgs?: Readonly<Record<string, string>>;
  /**
   * Other images a base may have been when its tag has moved since the build: by digest, or by other tags of its repository.
   * The first 32 are tried until one proves to be the base. @defaultValue none
   */
  readonly otherVersions?: OtherVersions;
  /** Shares what is read with other lineages of the same run. @defaultValue a cache of its own */
  readonly cache?: LineageCache;
  readonly onProgress?: (event: LineageEvent) => void;
}

/**
 * The limits of a walk.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a limit that is no whole number above 0
 */
export function limitsOf({
  maxDepth = 32,
  maxImages = 200,
}: Pick<ResolveLineageOptions, 'maxDepth' | 'maxImages'>): {
  readonly maxDepth: number;
  readonly maxImages: number;
} {
  for (const [name, value] of Object.entries({ maxDepth, maxImages })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new CoreError('INVALID_OPTIONS', `${name}: expected a whole number above 0, received ${value}`);
  }
  return { maxDepth, maxImages };
}

/**
 * The one time all images are asked about; undefined is now.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for an invalid date
 */
export function timeAsked({ asOf }: Pick<ResolveLineageOptions, 'asOf'>): Date | 'build' | undefined {
  if (asOf === 'now' || asOf === undefined) return undefined;
  if (asOf === 'build' || !Number.isNaN(asOf.getTime())) return asOf;
  throw new CoreError('INVALID_OPTIONS', 'asOf: expected a date, received an invalid one');
}
