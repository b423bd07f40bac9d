import type { Digest, ImageReference, OperationOptions, Platform, ResolvedImage } from '@imagevet/registry';
import type { BuildParameters } from '../dockerfile/types.ts';
import type { Gap } from '../errors.ts';
import type { LayoutComparison } from './layout/compare-layout.ts';
import type { LineageCache } from './lineage-cache.ts';

/** Where the source of an image is: a repository at a commit. */
export interface SourceLocation {
  /** Repository URL, https, without `.git`: `https://github.com/docker-library/php`. */
  readonly repository: string;
  /** Full commit id, lower-case hex. */
  readonly commit: string;
  /** Build context inside the repository; `.` is its root. */
  readonly directory: string;
  /** Dockerfile path inside the repository. */
  readonly path: string;
  /** Branch or tag said to contain the commit: `refs/heads/dist-amd64`. */
  readonly ref?: string;
}

/** Where a claim came from, most trustworthy first. */
export type ProvenanceKind =
  | 'buildkit-attestation'
  | 'oci-annotation'
  | 'official-images'
  | 'docker-hub-description'
  | 'image-label'
  | 'image-history';

/** What one source says about an image. Claims are kept as said; disagreement is a conflict, not an error. */
export interface ProvenanceClaim {
  readonly kind: ProvenanceKind;
  /** URL or digest of what was read. */
  readonly foundAt: string;
  readonly location?: SourceLocation;
  /** The Dockerfile itself, when the claim embeds it. */
  readonly dockerfile?: string;
  /** The base image it names. */
  readonly base?: {
    readonly reference: string;
    readonly digest?: Digest;
    /** True where the claim does not say which image is the base: it is the only one the build read, and may be another's. */
    readonly inferred?: true;
  };
  /** RFC 3339 time at which the build ended, when the claim says; not checked. */
  readonly finishedOn?: string;
  /** What it was built with, when the claim says. */
  readonly parameters?: BuildParameters;
  /** What it was built on (BUILDPLATFORM), when the claim says. */
  readonly buildPlatform?: Platform;
  /** How the image is made, when the claim says; `oci-import`: not built, but taken over from an OCI layout. */
  readonly builder?: 'buildkit' | 'classic' | 'oci-import';
  /**
   * Set where the source has the name, and for this platform no image of it: nothing is made under it, so that what describes the
   * name speaks of another platform. Such a claim names no source.
   */
  readonly notListed?: NotListed;
  /** True for a guess (free-form description, reverse-engineered history). */
  readonly heuristic?: boolean;
  /** RFC 3339 time as of which the source was read, when not now. */
  readonly asOf?: string;
  readonly note?: string;
}

/** A name that stands for images, none of them for the platform asked about. */
export interface NotListed {
  /** `linux/s390x` */
  readonly platform: string;
  /** The platforms it is listed for. */
  readonly listedFor: readonly string[];
}

/** The image a provenance source is asked about. `image` is absent when no registry could show it. */
export interface ProvenanceSubject {
  readonly reference: ImageReference;
  readonly platform: Platform;
  readonly image?: ResolvedImage;
  readonly asOf?: Date;
}

/** Somebody who can say where an image came from. */
export interface ProvenanceSource {
  readonly kind: ProvenanceKind;
  /** False for a source that goes by the name alone: it is asked while the image is being read, and is not given it. @defaultValue true */
  readonly needsImage?: boolean;
  /** Yields every claim it knows; nothing when it knows none. @throws CoreError, RegistryError when it cannot be asked */
  claims(subject: ProvenanceSubject, options?: ClaimsOptions): AsyncIterable<ProvenanceClaim>;
}

/** Options of {@link ProvenanceSource.claims}. */
export interface ClaimsOptions extends OperationOptions {
  /** Keeps what the source reads for the other images of the run: `sharedHost(host, cache)`. */
  readonly cache?: LineageCache;
}

/** One file of a source tree. */
export interface SourceEntry {
  /** Relative to the directory asked for, `/`-separated. */
  readonly path: string;
  readonly type: 'file' | 'executable' | 'symlink' | 'submodule';
  /** File content, or the symlink's target, or the submodule's commit. */
  readonly content: Uint8Array;
}

/** Whether a commit is in the history of a branch or tag of the repository itself (not of a fork). */
export type Reachability = 'reachable' | 'unreachable' | 'unchecked';

/** Which repository a URL leads to, by the host's own mark for it. */
export interface RepositoryIdentity {
  /** Kept through renames and transfers, and never given to another repository: `github.com/4164482`. */
  readonly id: string;
  /** URL it has now; another one than was asked about when it was renamed or transferred. */
  readonly repository: string;
  /** RFC 3339 time it was made, as the host says. */
  readonly createdAt?: string;
}

/** The repository of a Dockerfile, as its host knows it now. */
export interface RepositoryRecord extends RepositoryIdentity {
  /**
   * `renamed`: the name in the claim leads to it, and its own is another. `younger`: it was made after the name was written
   * down, so that it is another than was meant.
   */
  readonly state: 'as-named' | 'renamed' | 'younger';
}

/** A place that holds source repositories: GitHub, a git server, a local mirror. */
export interface SourceHost {
  supports(repository: string): boolean;
  /** @throws CoreError `SOURCE_COMMIT_NOT_FOUND`, `SOURCE_NOT_FOUND` (no such file), `SOURCE_UNREACHABLE`, ... */
  readFile(
    repository: string,
    commit: string,
    path: string,
    options?: OperationOptions,
  ): Promise<{ readonly content: Uint8Array; readonly url: string }>;
  /** Every file below a directory; the build context of a rebuild. */
  readDirectory(
    repository: string,
    commit: string,
    directory: string,
    options?: OperationOptions,
  ): AsyncIterable<SourceEntry>;
  /** Newest commit that changed `path` not after `asOf` (default: now), on the default branch. */
  commitOf(
    repository: string,
    path: string,
    options?: OperationOptions & { readonly asOf?: Date },
  ): Promise<string>;
  reachability(
    repository: string,
    commit: string,
    options?: OperationOptions & { readonly ref?: string },
  ): Promise<Reachability>;
  /**
   * Id of the git tree of a directory: the same for the same content, at whichever commit. Undefined when there is none.
   */
  treeOf?(
    repository: string,
    commit: string,
    directory: string,
    options?: OperationOptions,
  ): Promise<string | undefined>;
  /** When a commit was made, by what it says; undefined when it is not there or the host does not tell. */
  committedAt?(repository: string, commit: string, options?: OperationOptions): Promise<Date | undefined>;
  /** Undefined when there is no such repository, or its host does not say which one it is (a git server). */
  identityOf?(repository: string, options?: OperationOptions): Promise<RepositoryIdentity | undefined>;
}

/** The Dockerfile of a node and how sure it is. */
export interface DockerfileRecord {
  readonly status:
    | 'found'
    /** The commit is named but no longer in the repository; the claim stands, the bytes are missing. */
    | 'commit-unreachable'
    | 'file-missing'
    | 'host-unreachable'
    /** What is named was read and is no Dockerfile: an OCI layout the image is taken over from. */
    | 'imported'
    /** No source names a Dockerfile. */
    | 'not-named';
  readonly location?: SourceLocation;
  /** The claim it was taken from. */
  readonly kind?: ProvenanceKind;
  /** As that claim says. */
  readonly builder?: ProvenanceClaim['builder'];
  readonly url?: string;
  readonly text?: string;
  /** sha256 of the bytes. */
  readonly digest?: Digest;
  /** Build arguments and stage it was read with, as far as they reach it. */
  readonly parameters?: BuildParameters;
  /** Git tree id of the build context, when the host tells it: the same content has the same at every commit. */
  readonly contextTree?: string;
  /** Which repository the location's name leads to; absent where no host tells. */
  readonly repository?: RepositoryRecord;
  /** What is in the OCI layout the image is taken over from, when it was held against the image. */
  readonly layout?: LayoutComparison;
  readonly reachability: Reachability;
  /** Whether the instructions of the final stage agree with the image's history; or the image with the layout it is taken from. */
  readonly consistency: 'consistent' | 'inconsistent' | 'unchecked';
  /** Why, when inconsistent: the first instruction or history entry that does not fit. */
  readonly inconsistency?: HistoryInconsistency;
}

/** The first place where a Dockerfile cannot have made an image. */
export interface HistoryInconsistency {
  /** Line of the instruction; absent when no instruction is left. */
  readonly line?: number;
  /** Index of the history entry; absent when no entry is left. */
  readonly history?: number;
  /** The instruction as a history would show it; `…` stands for what is not known. */
  readonly expected?: string;
  /** What the history shows there. */
  readonly seen?: string;
  readonly message: string;
}

/** An image of the lineage. */
export interface LineageNode {
  /** `<canonical reference> <os>/<architecture>[/<variant>]`; unique in the lineage. */
  readonly id: string;
  readonly reference: ImageReference;
  readonly platform: Platform;
  readonly image?: ResolvedImage;
  readonly claims: readonly ProvenanceClaim[];
  readonly dockerfile: DockerfileRecord;
  /** RFC 3339 time as of which its sources were asked; absent means now. */
  readonly asOf?: string;
  /** Why the time the image gives is not taken for that of its build, where lineages are asked for as of builds. */
  readonly buildTimeDoubt?: string;
  /**
   * Set where the lineage ends. `scratch`: FROM scratch; `rootfs-import`: its files come as a whole from an archive or an OCI
   * layout, made by nothing the lineage can show; else the reason it could not go on.
   */
  readonly end?: 'scratch' | 'rootfs-import' | 'unresolved' | 'cycle' | 'depth-limit';
}

/** What another image is to this one. `base` edges are the spine. */
export type EdgeKind = 'base' | 'stage' | 'copy-from' | 'mount-from' | 'frontend';

/** How far an edge is known. Never averaged: one refutation makes it `contradicted`. */
export type EdgeGrade = 'proven' | 'attested' | 'claimed' | 'contradicted' | 'unknown';

/** One reason to believe or disbelieve an edge. */
export interface EdgeEvidence {
  readonly kind: ProvenanceKind | 'dockerfile' | 'layers';
  readonly verdict: 'supports' | 'refutes' | 'neutral';
  readonly message: string;
  readonly foundAt?: string;
}

/** `from` (the child) was built on or with `to` (the parent). */
export interface LineageEdge {
  readonly kind: EdgeKind;
  readonly from: string;
  readonly to: string;
  /** The name as the child's Dockerfile or claim writes it. */
  readonly name: string;
  readonly line?: number;
  readonly grade: EdgeGrade;
  readonly evidence: readonly EdgeEvidence[];
}

/** Two sources that say different things about one node. */
export interface LineageConflict {
  readonly node: string;
  readonly about: 'source' | 'base';
  readonly statements: readonly {
    readonly kind: ProvenanceKind;
    readonly foundAt: string;
    readonly value: string;
  }[];
}

/** Where an image came from, for one platform. Plain data. */
export interface Lineage {
  /** Id of the image asked about. */
  readonly root: string;
  readonly platform: Platform;
  /** RFC 3339; `build` when each image was asked about as of its own build; absent means now. */
  readonly asOf?: string;
  /** The image asked about first; parents follow their children. */
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
  readonly conflicts: readonly LineageConflict[];
  readonly gaps: readonly Gap[];
}

/** Progress of {@link resolveLineage}. */
export type LineageEvent =
  | { readonly type: 'image-resolving'; readonly node: string; readonly depth: number }
  | { readonly type: 'provenance-asking'; readonly node: string; readonly kind: ProvenanceKind }
  | {
      readonly type: 'dockerfile-fetched';
      readonly node: string;
      readonly url?: string;
      readonly status: DockerfileRecord['status'];
    }
  | { readonly type: 'edge-graded'; readonly from: string; readonly to: string; readonly grade: EdgeGrade };
