import type { Digest } from '@imagevet/registry';

/** How equal two images are, best first; the first that holds. */
export type ComparisonGrade =
  /** Same manifest digest. */
  | 'identical'
  /** Same diffIDs. */
  | 'same-layers'
  /** All files equal but timestamps and known-benign paths. */
  | 'same-content'
  | 'same-packages'
  /** Each difference has a named cause. */
  | 'explained'
  | 'unexplained';

/** One path of the merged filesystems that differs. */
export interface FileDifference {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What differs, for `changed`. */
  readonly aspects: readonly ('type' | 'content' | 'mode' | 'owner' | 'link' | 'size')[];
  readonly original?: string;
  readonly rebuilt?: string;
  /** Named cause, when one explains it. */
  readonly explanation?: string;
}

/** One field of the image config that differs. */
export interface ConfigDifference {
  readonly field: string;
  readonly original?: string;
  readonly rebuilt?: string;
}

/** Original beside rebuilt. Plain data. */
export interface Comparison {
  readonly original: { readonly reference: string; readonly digest: Digest };
  readonly rebuilt: { readonly reference: string; readonly digest: Digest };
  readonly grade: ComparisonGrade;
  readonly files: { readonly compared: number; readonly equal: number; readonly timestampsOnly: number };
  readonly differences: readonly FileDifference[];
  /** True when `differences` was cut at the limit. */
  readonly truncated: boolean;
  readonly config: readonly ConfigDifference[];
}
