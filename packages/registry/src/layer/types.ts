import type { Digest } from '../digest.ts';

/** What a path of a layer is. Whiteouts name a path of the layers below, not a file of their own. */
export type LayerEntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'character-device'
  | 'block-device'
  | 'fifo'
  /** Hides `path`, and all below it, of the layers below. */
  | 'whiteout'
  /** Hides everything the layers below have inside directory `path`. */
  | 'opaque';

/** One entry of a layer's archive. Plain data. @see OCI image-spec, layer.md */
export interface LayerEntry {
  /**
   * Absolute, cleaned path: `/etc/passwd`, `/` for the root. Bytes that are not UTF-8 are kept as lone
   * surrogates U+DC80 to U+DCFF, so different names stay different.
   */
  readonly path: string;
  readonly type: LayerEntryType;
  /** Permission bits with set-user-id, set-group-id and sticky: the low 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for all but files. */
  readonly size: number;
  /** Modification time in seconds since 1970, possibly with a fraction. */
  readonly mtime: number;
  /** SHA-256 of a file's content; absent for other types and when files were not hashed. */
  readonly digest?: Digest;
  /** Other hashes of a file's content, in hex, when `checksums` asked for them. */
  readonly checksums?: { readonly md5: string; readonly sha1: string };
  /** The text of a symlink, untouched; or the cleaned absolute path a hardlink names. */
  readonly linkTarget?: string;
  /** Extended attributes, such as `security.capability`; values in base64. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Numbers of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Leading bytes of the content, when `keepContent` asked for them. */
  readonly content?: Uint8Array;
}

/** Something well-formed tools read differently, or that no image builder writes. */
export interface LayerAnomaly {
  readonly kind: LayerAnomalyKind;
  /** Path it concerns; `/` when it concerns the archive. */
  readonly path: string;
}

export type LayerAnomalyKind =
  /** The stored name had `..` inside and was cleaned. */
  | 'dot-dot-in-path'
  /** The same path again; the last entry counts. */
  | 'duplicate-entry'
  /** Two extension headers named the entry differently. */
  | 'conflicting-names'
  /** A link, directory or device declared content; it has none. */
  | 'size-without-content'
  /** A global PAX header; engines ignore it, other readers apply it. */
  | 'global-pax-header'
  /** The archive ended without its end marker. */
  | 'missing-end-of-archive'
  /** Bytes other than zero after the end of the archive. */
  | 'data-after-archive'
  /** Bytes after the end of the compressed stream. */
  | 'data-after-compression'
  /** A hardlink to a path that is not there. */
  | 'dangling-hardlink'
  /** Character device 0/0, which overlayfs takes for a whiteout. */
  | 'device-as-whiteout'
  /** An entry below a symlink or other non-directory, which it replaces by a directory. */
  | 'parent-not-directory';

/** What one pass over a layer's blob established. Plain data. */
export interface LayerScan {
  /** Digest of the blob, as stored. */
  readonly digest: Digest;
  /** Size of the blob in bytes. */
  readonly size: number;
  /** Digest of the uncompressed archive. */
  readonly diffId: Digest;
  /** Size of the uncompressed archive in bytes. */
  readonly uncompressedSize: number;
  /** How the blob is compressed, by its first bytes; the media type is not believed. */
  readonly compression: LayerCompression;
  /** True when the stream surely has several gzip members or zstd frames (eStargz, zstd:chunked). */
  readonly severalMembers: boolean;
  /** Bytes after the end of the compressed stream, which no reader decodes. */
  readonly trailingBytes: number;
  /** In archive order; directories the archive only implies are not listed. */
  readonly entries: readonly LayerEntry[];
  /** At most 100. */
  readonly anomalies: readonly LayerAnomaly[];
}

export type LayerCompression = 'none' | 'gzip' | 'zstd';
