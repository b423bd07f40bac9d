import type { Digest, OperationOptions } from '@imagevet/registry';

/** Tells what a branch or tag of a git repository names now. The git mirror's and GitHub's hosts can. */
export interface RefReader {
  /**
   * Commit a ref names now; undefined when the repository has no such ref. `ref` is a full name, `refs/heads/main` or
   * `refs/tags/v1`, or `HEAD` for the default branch.
   *
   * @throws CoreError `SOURCE_UNREACHABLE`, ...
   */
  refOf(repository: string, ref: string, options?: OperationOptions): Promise<string | undefined>;
}

/** Why something could not be asked. */
export interface DriftFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/**
 * One thing that is no longer as a lineage holds it. References are canonical texts; `affects` are the ids of the nodes of
 * that name and of all that is built on or with them.
 */
export type DriftEvent =
  /** The tag names another digest than the one the lineage was resolved with. */
  | {
      readonly type: 'tag-moved';
      readonly reference: string;
      readonly was: Digest;
      readonly now: Digest;
      readonly affects: readonly string[];
    }
  /** The registry answers that the tag, the digest or the whole repository is not there. `was` is absent when never seen. */
  | {
      readonly type: 'upstream-gone';
      readonly reference: string;
      readonly was?: Digest;
      readonly affects: readonly string[];
    }
  /** The child stands under its own tag as it was, but the tag of its base names another digest than it was built on. */
  | {
      readonly type: 'base-moved';
      /** Node id. */
      readonly child: string;
      readonly base: string;
      readonly was: Digest;
      readonly now: Digest;
    }
  /** The branch or tag a Dockerfile was taken from names another commit; `now` is absent when it was removed. */
  | {
      readonly type: 'source-moved';
      readonly repository: string;
      readonly ref: string;
      readonly was: string;
      readonly now?: string;
      readonly affects: readonly string[];
    }
  /** The commit a Dockerfile was taken from is in no branch or tag of the repository any more. */
  | {
      readonly type: 'source-gone';
      readonly repository: string;
      readonly ref?: string;
      readonly was: string;
      readonly affects: readonly string[];
    }
  /** The name of the repository leads to another one than it did, by the ids its host gives them. */
  | {
      readonly type: 'source-replaced';
      readonly repository: string;
      readonly was: string;
      readonly now: string;
      readonly affects: readonly string[];
    }
  /** The registry could not be asked: whether the reference has moved is not known. */
  | {
      readonly type: 'unreachable';
      readonly reference: string;
      readonly error: DriftFailure;
      readonly affects: readonly string[];
    }
  /** The repository could not be asked. */
  | {
      readonly type: 'source-unreachable';
      readonly repository: string;
      readonly ref?: string;
      readonly was: string;
      readonly error: DriftFailure;
      readonly affects: readonly string[];
    };

/**
 * What was learnt about a name. `unknown`: it answered, but the lineage holds nothing to compare the answer with.
 * `moved` when any lineage holds another digest.
 */
export type DriftState = 'unchanged' | 'moved' | 'gone' | 'unreachable' | 'unknown';

/** A reference that was asked, and its answer. */
export interface ReferenceState {
  readonly reference: string;
  readonly state: DriftState;
  /** What the registry says it names. */
  readonly now?: Digest;
}

/** A place in a repository that was asked about. */
export interface SourceState {
  readonly repository: string;
  readonly ref?: string;
  /** The commit the lineage holds. */
  readonly commit: string;
  readonly state: DriftState;
  /** What the ref, or without one the default branch, names. */
  readonly now?: string;
}

/** What no longer is as the lineages hold it, and all that was asked to find out. Plain data. */
export interface DriftReport {
  readonly events: readonly DriftEvent[];
  readonly references: readonly ReferenceState[];
  readonly sources: readonly SourceState[];
}
