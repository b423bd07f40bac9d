import type { FilesystemEntry } from '@imagevet/registry';
import type { FileAspect } from './types.ts';

/** One path as both images have it. */
export interface PathPair {
  readonly path: string;
  readonly original: FilesystemEntry | undefined;
  readonly rebuilt: FilesystemEntry | undefined;
  /** Empty when one image lacks the path. */
  readonly aspects: readonly FileAspect[];
}

/** Why a path differs. */
export interface Explanation {
  readonly cause: string;
  /** True when nothing but times and the like differs, so that the content counts as the same. */
  readonly benign: boolean;
}
