import { RegistryError } from '../errors.ts';

/** Bounds of what a layer may make its reader do; beyond one, scanning throws `LIMIT_EXCEEDED`. */
export interface LayerLimits {
  /** Uncompressed bytes of one layer. @defaultValue 32 GiB */
  readonly maxUncompressedBytes: number;
  /** Uncompressed bytes per compressed byte, once 64 MiB are out. @defaultValue 200 */
  readonly maxRatio: number;
  /** Entries of one layer, and of the merged filesystem. @defaultValue 1,000,000 */
  readonly maxEntries: number;
  /** Bytes of one path or link target. @defaultValue 4096, Linux's PATH_MAX */
  readonly maxPathBytes: number;
  /** Bytes of all paths, link targets and extended attributes of one layer. @defaultValue 256 MiB */
  readonly maxMetadataBytes: number;
  /** Bytes of one extension header (PAX records, GNU long name). @defaultValue 1 MiB */
  readonly maxHeaderBytes: number;
  /** Bytes of content kept over all files of one layer. @defaultValue 64 MiB */
  readonly maxKeptBytes: number;
}

/** The limits used when none are given: above what real images have, below what hurts. */
export const DEFAULT_LAYER_LIMITS: LayerLimits = Object.freeze({
  maxUncompressedBytes: 32 * 2 ** 30,
  maxRatio: 200,
  maxEntries: 1_000_000,
  maxPathBytes: 4096,
  maxMetadataBytes: 256 * 2 ** 20,
  maxHeaderBytes: 2 ** 20,
  maxKeptBytes: 64 * 2 ** 20,
});

/** A small archive may compress very well; the ratio counts only past this. */
const RATIO_GRACE_BYTES = 64 * 2 ** 20;

/** @throws {@link RegistryError} `LIMIT_EXCEEDED` when a layer inflates to more than the limits allow. */
export function checkInflation(
  received: number,
  inflated: number,
  limits: Pick<LayerLimits, 'maxUncompressedBytes' | 'maxRatio'>,
): void {
  if (inflated > limits.maxUncompressedBytes) {
    throw limitExceeded('uncompressed size of the layer', inflated, limits.maxUncompressedBytes);
  }
  if (inflated > RATIO_GRACE_BYTES && inflated > received * limits.maxRatio) {
    throw limitExceeded('compression ratio of the layer', Math.floor(inflated / received), limits.maxRatio);
  }
}

/** The error of a bound that was reached. */
export function limitExceeded(what: string, found: number, limit: number): RegistryError {
  return new RegistryError('LIMIT_EXCEEDED', `${what} is ${found}, the limit is ${limit}`, {
    hint: 'Raise the limit in the options if this image is known to be this large.',
    details: { what, found, limit },
  });
}
