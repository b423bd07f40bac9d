import type { Digest, OperationOptions, Platform } from '@imagevet/registry';
import type { ExternalImage } from '../dockerfile/queries.ts';
import type { SourceLocation } from '../lineage/types.ts';
import type { MirrorStoreOptions } from '../provenance/hosts/git/mirror-store.ts';
import type { CatalogCache } from './catalog-cache.ts';

/** Where the library files are read. */
export type CatalogLibrary =
  /** A directory that holds `library/` and, for pinned external images, `.external-pins/`. */
  | { readonly directory: string }
  /** A clone of docker-library/official-images, at a commit, or at what its default branch held at a time; else at its HEAD. */
  | { readonly mirror: string; readonly commit?: string; readonly asOf?: Date };

/** Options of `resolveCatalog`. */
export interface ResolveCatalogOptions extends OperationOptions {
  /**
   * Mirrors of the repositories the library files name. Unless `offline` is set, what is missing is fetched, and a mirror
   * without the commit is brought up to date.
   */
  readonly mirrors: MirrorStoreOptions;
  /** What earlier runs found; filled by this one. @defaultValue a new one */
  readonly cache?: CatalogCache;
  /** Library files resolved ahead of the one that is taken. @defaultValue 4 */
  readonly lookahead?: number;
  /** Called with every git object read. */
  readonly onRead?: (object: GitRead) => void;
}

/** A git object that was read. */
export interface GitRead {
  readonly id: string;
  readonly type: 'blob' | 'tree' | 'commit' | 'tag';
  readonly bytes: number;
}

/** An official image: what its library file says, and what that leads to. */
export interface CatalogImage {
  /** Without namespace: `php`. */
  readonly name: string;
  /** The commit of official-images it was read at; absent for a directory. */
  readonly commit?: string;
  readonly entries: readonly CatalogEntry[];
  /** Why there are no entries, when the file could not be read. */
  readonly findings: readonly CatalogFinding[];
}

/** The tags of one source; see `LibraryEntry`. */
export interface CatalogEntry {
  readonly line: number;
  readonly tags: readonly string[];
  readonly sharedTags: readonly string[];
  readonly constraints: readonly string[];
  readonly builds: readonly CatalogBuild[];
}

/** An entry on one architecture: what is built from what. */
export interface CatalogBuild {
  /** The entry's first tag and the platform, as ids of lineage nodes are: `docker.io/library/php:8.3-apache linux/amd64`. */
  readonly id: string;
  /** bashbrew name: `arm64v8`. */
  readonly architecture: string;
  readonly platform: Platform;
  readonly builder?: 'buildkit' | 'classic' | 'oci-import';
  /** Where its Dockerfile is; for `oci-import`, its OCI layout. Absent when the entry names no commit that is known. */
  readonly source?: SourceLocation;
  /** The file the mirror has there: its git object id, hashed, and its path after symbolic links. */
  readonly file?: { readonly id: string; readonly path: string };
  /** What it is made from, the base first. Empty when the Dockerfile could not be read. */
  readonly inputs: readonly CatalogInput[];
  readonly findings: readonly CatalogFinding[];
}

/** Another image a build takes from. */
export interface CatalogInput {
  /** `base` is what the final stage is built on; `stage` what another is. */
  readonly kind: ExternalImage['kind'];
  /** As the Dockerfile writes it. */
  readonly text: string;
  /** 1-based line of the Dockerfile; 0 for an OCI layout that is imported. */
  readonly line: number;
  /** The build that has it in an `ONBUILD` trigger: it does not stand in this Dockerfile, `line` is that of the `FROM`. */
  readonly triggeredBy?: string;
  readonly target: CatalogTarget;
}

/** What an input is. */
export type CatalogTarget =
  /** The build of an entry of the catalog. */
  | { readonly kind: 'build'; readonly id: string }
  /** Nothing is below: the empty image, or a file system that is imported. */
  | { readonly kind: 'root'; readonly root: 'scratch' | 'rootfs-import' }
  /** An image that is not in the catalog, or is named by digest; pinned by `.external-pins` or by the name itself. */
  | { readonly kind: 'external'; readonly reference: string; readonly digest?: Digest }
  /** Not known; a finding says why. `candidates` are ids, when there are several. */
  | { readonly kind: 'unresolved'; readonly candidates?: readonly string[] };

/** Why something is not known. */
export interface CatalogFinding {
  readonly code: CatalogFindingCode;
  readonly message: string;
  /** 1-based line: of the Dockerfile for an input, of the library file for the rest. */
  readonly line?: number;
}

/** Codes of {@link CatalogFinding}. */
export type CatalogFindingCode =
  /** The library file does not parse. */
  | 'library-invalid'
  /** The entry names no repository or commit of a known form, or a git tag the mirror does not have. */
  | 'source-unnamed'
  /** There is no mirror of the repository, or it cannot be read. */
  | 'mirror-missing'
  /** The mirror does not have the commit: it is old, or the branch was force-pushed. */
  | 'commit-missing'
  /** The commit has no such file. */
  | 'file-missing'
  /** The mirror is partial, and this file is not in it. */
  | 'object-missing'
  /** The file is not a Dockerfile, or is too large; or an `ONBUILD` trigger of a base is no instruction. */
  | 'dockerfile-invalid'
  /** The name depends on a value that is not known, or is no name. */
  | 'name-unresolved'
  /** There is no official image of that name in this library. */
  | 'image-missing'
  /** The image exists, the tag does not (any more). */
  | 'tag-missing'
  /** The tag exists, but not on this architecture. */
  | 'architecture-missing'
  /** Several entries share the tag on this architecture. */
  | 'tag-ambiguous';
