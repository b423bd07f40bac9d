import type { LayerLimits } from '../layer/limits.ts';
import type { LayerAnomaly, LayerEntryType } from '../layer/types.ts';
import type { OperationOptions } from '../options.ts';

/** How to put layers on disk. */
export interface ExtractOptions extends OperationOptions {
  /**
   * Replaces a directory that holds something, and everything in it, once the new one is complete.
   *
   * @defaultValue false: only an absent or empty directory is filled
   */
  readonly overwrite?: boolean;
  /**
   * Keeps permission bits exactly as stored, set-user-id and set-group-id included.
   *
   * @defaultValue false: those two are dropped, and the owner can read and write everything
   */
  readonly keepModes?: boolean;
  /**
   * Symlinks that lead out of the directory when the host follows them, as every absolute one does. They are no
   * danger to the extraction, which follows none, but to whoever reads the result without `chroot`.
   *
   * @defaultValue 'keep'
   */
  readonly outsideLinks?: 'keep' | 'skip';
  /**
   * Leaves out names that other systems cannot hold or take for each other: drive letters, backslashes, device
   * names, and names of one directory that differ only in case or Unicode normalisation. Always so on Windows;
   * elsewhere they are created and noticed.
   *
   * @defaultValue false
   */
  readonly portable?: boolean;
  /** Bounds; `maxUncompressedBytes` and `maxEntries` also bound all layers together. */
  readonly limits?: Partial<LayerLimits>;
}

/** Why an entry of the image is not on disk. */
export type SkipReason =
  /** A device node or named pipe; none is ever created. */
  | 'device'
  /** A hardlink to a path that is no file of the image. */
  | 'dangling-hardlink'
  /** A symlink that leads out, when `outsideLinks` is `skip`. */
  | 'outside-link'
  /** A symlink without a target. */
  | 'empty-link'
  /** A name the file system cannot hold: more than 255 bytes, too deep, or not text. */
  | 'unsupported-name'
  /** A name other systems cannot hold or read as a path, when `portable`. */
  | 'unportable-name'
  /** The file system takes its name for that of another entry, or would elsewhere and `portable` is set. */
  | 'name-collision'
  /** Its directory was skipped. */
  | 'parent-skipped'
  /** A whiteout with nothing below it: of the base, or of a single layer. */
  | 'whiteout';

/** What is on disk but not as the image says, or deserves a look. */
export type NoticeKind =
  /** Set-user-id or set-group-id; dropped unless `keepModes`. */
  | 'set-id'
  /** Extended attributes, such as file capabilities; never written. */
  | 'xattrs'
  /** A symlink that leads out of the directory when the host follows it. */
  | 'outside-link'
  /** A name other systems cannot hold or read as a path. */
  | 'unportable-name'
  /** A name that differs from another of its directory only in case or Unicode normalisation. */
  | 'name-collision';

/** What {@link extractImage} and {@link extractLayer} did. Plain data. */
export interface Extraction {
  readonly directory: string;
  /** Files, each counted once however many names it has. */
  readonly files: number;
  /** Bytes of those files. */
  readonly bytes: number;
  /** Directories, the root included. */
  readonly directories: number;
  readonly symlinks: number;
  /** Further names of files. */
  readonly hardlinks: number;
  /** What is not on disk; at most 1000, `skippedEntries` counts all. */
  readonly skipped: readonly {
    readonly path: string;
    readonly type: LayerEntryType;
    readonly reason: SkipReason;
  }[];
  readonly skippedEntries: number;
  /** What to look at; at most 100 of a kind, `noticed` counts all. */
  readonly notices: readonly { readonly path: string; readonly kind: NoticeKind }[];
  readonly noticed: Readonly<Record<NoticeKind, number>>;
  /** What the archives have odd, by themselves and in relation to each other. */
  readonly anomalies: readonly LayerAnomaly[];
}
