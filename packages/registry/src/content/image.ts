import type { Digest } from '../digest.ts';
import type { Annotations, Descriptor, ExecutionConfig, HistoryEntry, Platform } from '../oci/types.ts';
import type { ImageReference } from '../reference.ts';

/** One platform's image of a reference, all by digest. Plain data. */
export interface ResolvedImage {
  /** The reference asked for, in canonical form. */
  readonly reference: ImageReference;
  /** The index it was chosen from; absent for a single-platform image. */
  readonly index?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly platform: Platform;
  /** Digests of the uncompressed layers, base first. */
  readonly diffIds: readonly Digest[];
  readonly history: readonly HistoryEntry[];
  /** RFC 3339, as the config says. */
  readonly created?: string;
  /** Annotations of the manifest, over those of its descriptor in the index. */
  readonly annotations: Annotations;
  readonly labels: Readonly<Record<string, string>>;
  readonly execution: ExecutionConfig;
}
