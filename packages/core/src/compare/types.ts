import type { Digest } from '@imagevet/registry';

/**
 * How equal two images are, best first; the first that holds. Each grade but the last means that every
 * difference has a cause that was checked, so a difference without one is always `unexplained`.
 */
export type ComparisonGrade =
  /** Same manifest digest. */
  | 'identical'
  /** Same diffIDs and same config. */
  | 'same-layers'
  /** All files equal but timestamps and paths whose difference was parsed and found benign; same config. */
  | 'same-content'
  /** Same packages in the same versions and same config; each file difference has a named cause. */
  | 'same-packages'
  /** Each difference, of packages and config too, has a named cause. */
  | 'explained'
  | 'unexplained';

/**
 * What of a path can differ; `mode` includes set-user-id and set-group-id, `xattr` file capabilities. `time` is that of the source of
 * bytecode that Python therefore runs in one image only.
 */
export type FileAspect =
  | 'type'
  | 'content'
  | 'mode'
  | 'owner'
  | 'link'
  | 'size'
  | 'xattr'
  | 'device'
  | 'time';

/** What made something that differs. */
export interface DifferenceOrigin {
  /** The image this is said of. */
  readonly side: 'original' | 'rebuilt';
  /** Index of the layer, 0 for the base. */
  readonly layer?: number;
  /** The instruction of the Dockerfile; absent when the history does not tell. */
  readonly instruction?: {
    readonly line: number;
    readonly keyword: string;
    /** Set when an ONBUILD of the base ran it, at the FROM of that line. */
    readonly trigger?: true;
  };
  /** True when the base image brought it. */
  readonly inherited?: true;
}

/** One path of the merged filesystems that differs. */
export interface FileDifference {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What differs, for `changed`. */
  readonly aspects: readonly FileAspect[];
  /** What the path is in the original: type, mode, owner, and what it holds. */
  readonly original?: string;
  readonly rebuilt?: string;
  /** Named cause, when one explains it. */
  readonly explanation?: string;
  readonly origin?: DifferenceOrigin;
}

/** One field of the image config that differs. */
export interface ConfigDifference {
  /** `Entrypoint`, `Env.PATH`, `Labels.org.example`, `architecture`. */
  readonly field: string;
  readonly original?: string;
  readonly rebuilt?: string;
  /** Named cause, when one explains it. */
  readonly explanation?: string;
  /** The last instruction that names it. */
  readonly origin?: DifferenceOrigin;
}

/** One package whose version differs, or that one image lacks. */
export interface PackageDifference {
  readonly manager: 'dpkg' | 'apk' | 'rpm';
  readonly name: string;
  readonly architecture: string;
  /** Version in the original; absent when it lacks the package. */
  readonly original?: string;
  readonly rebuilt?: string;
  /** What last wrote what the package manager keeps of it. */
  readonly origin?: DifferenceOrigin;
}

/** A database of packages that could not be read; nothing is explained by the packages of either image. */
export interface UnreadDatabase {
  readonly side: 'original' | 'rebuilt';
  readonly path: string;
  /** Code of the error: `PACKAGE_DATABASE_INVALID` or `PACKAGE_DATABASE_TOO_LARGE`. */
  readonly code: string;
  readonly message: string;
}

/** Original beside rebuilt. Plain data. */
export interface Comparison {
  readonly original: { readonly reference: string; readonly digest: Digest };
  readonly rebuilt: { readonly reference: string; readonly digest: Digest };
  readonly grade: ComparisonGrade;
  /** Paths in the layers the two do not share, counted over both. */
  readonly files: { readonly compared: number; readonly equal: number; readonly timestampsOnly: number };
  /** Those without explanation first, then by path. */
  readonly differences: readonly FileDifference[];
  /** True when `differences` was cut at the limit. */
  readonly truncated: boolean;
  readonly config: readonly ConfigDifference[];
  /** Absent when no file differs, as the package lists are then the same. */
  readonly packages?: readonly PackageDifference[];
  /** Absent when all were read. */
  readonly unreadDatabases?: readonly UnreadDatabase[];
}
