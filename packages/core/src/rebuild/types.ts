import type {
  Descriptor,
  Digest,
  Fetcher,
  ImageReference,
  OperationOptions,
  Platform,
  Repository,
} from '@imagevet/registry';
import type { BuildParameters } from '../dockerfile/types.ts';
import type { CoreErrorCode, Gap } from '../errors.ts';
import type { LayoutComparison } from '../lineage/layout/compare-layout.ts';
import type { EdgeKind, SourceEntry, SourceLocation } from '../lineage/types.ts';
import type { ContextFinding } from './context/foreign-content.ts';

/** An image a step builds on: another step's result, or an image outside the plan pinned by digest. */
export interface RebuildInput {
  readonly kind: EdgeKind;
  /** The reference in canonical form, as the Dockerfile resolves to it. */
  readonly reference: string;
  /** Step that makes it. */
  readonly step?: string;
  /** Name the result of that step gets once it is admitted. */
  readonly name?: string;
  /** Public digest it is pinned to when no step makes it. */
  readonly pinned?: Digest;
}

/** One image to rebuild. */
export interface RebuildStep {
  /** The lineage node's id. */
  readonly id: string;
  /** Hash of everything that decides the result: source, Dockerfile, platform, and the same of its inputs. */
  readonly key: string;
  readonly reference: ImageReference;
  readonly platform: Platform;
  readonly location: SourceLocation;
  /** Dockerfile text as fetched, before substitution; empty for an image that is taken over. */
  readonly dockerfile: string;
  /** Set for an image that is not built but taken over, byte for byte, from the OCI layout whose index is at `location.path`. */
  readonly layout?: StepLayout;
  /** Build arguments and stage. */
  readonly parameters?: BuildParameters;
  readonly inputs: readonly RebuildInput[];
  /** ONBUILD instructions of its bases, each with the line of the `FROM` that sets it off. Absent when there are none. */
  readonly triggers?: readonly (readonly [line: number, instruction: string])[];
  /** Manifest digest of the public image it stands for, when a registry showed it. */
  readonly original?: Digest;
  /** The name the result gets once it is admitted. */
  readonly target: ImageReference;
  /**
   * Where a build is pushed, under `build-<key>`: a repository people are not allowed to run from, so that a result nobody has
   * judged is not among those that were.
   */
  readonly scratch: Repository;
}

/** What to build, in dependency order (parents first). Data: print it, store it, approve it, run it later. */
export interface RebuildPlan {
  /** sha256 of the platform and the steps: `planId`. */
  readonly id: Digest;
  readonly platform: Platform;
  readonly steps: readonly RebuildStep[];
  /** Nodes that cannot be rebuilt, and why. */
  readonly gaps: readonly Gap[];
}

/** The image in an OCI layout. */
export interface StepLayout {
  /** Its manifest, and so the digest of the result. */
  readonly digest: Digest;
  /** How far it is the published image. */
  readonly match: Exclude<LayoutComparison['match'], 'none'>;
}

/** What a builder is asked to take over. */
export interface ImportRequest {
  /** The public name. */
  readonly reference: ImageReference;
  /** Manifest of the layout. */
  readonly digest: Digest;
  /** Reads the layout; checks every digest. */
  readonly layout: Fetcher;
  /** Repository of the published image, which may have the same blobs. */
  readonly published?: Repository;
  readonly platform: Platform;
  /** Where to put it; tag included. */
  readonly target: ImageReference;
}

/** What a builder is asked to do. */
export interface BuildRequest {
  readonly dockerfile: string;
  /** Context files as the repository holds them, its own Dockerfile among them; `.dockerignore` applied. */
  readonly context: readonly SourceEntry[];
  /** Where the repository's own Dockerfile lies inside the context; absent when it lies outside. */
  readonly dockerfilePath?: string;
  readonly platform: Platform;
  /** Build arguments and stage. */
  readonly parameters?: BuildParameters;
  /** Where to push; tag included. */
  readonly target: ImageReference;
  /** Moves the target's name to this build also when it names an image already. @defaultValue the first one stays */
  readonly replace?: boolean;
  /** False builds without a cache, whatever the builder's settings. @defaultValue the builder's setting */
  readonly cache?: false;
  /** Annotations of the manifest that is pushed. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** For builders that can pin without an edit: the Dockerfile as it was fetched, and each image it names with its pin. */
  readonly unedited?: {
    readonly dockerfile: string;
    /** Canonical reference to digest-qualified reference. */
    readonly pins: Readonly<Record<string, string>>;
  };
}

export type BuildEvent =
  | { readonly type: 'build-log'; readonly text: string }
  | { readonly type: 'push-progress'; readonly text: string };

/** What came out of a build, as the registry shows it. */
export interface BuiltImage {
  /** Digest-qualified reference. */
  readonly reference: ImageReference;
  readonly descriptor: Descriptor;
  readonly diffIds: readonly Digest[];
  readonly imageId: Digest;
  /** What built it: `Docker Engine`, `28.5.2`. Absent when that was an earlier run. */
  readonly builtBy?: { readonly name: string; readonly version: string };
}

/** Something that builds and pushes images. */
export interface Builder {
  readonly name: string;
  /**
   * What of its settings decides what comes out, such as a date: an image built with others is not taken for one of its own.
   * @defaultValue nothing
   */
  readonly variant?: string;
  /** Rejects with `ENGINE_UNREACHABLE` when no engine answers. */
  probe(
    options?: OperationOptions,
  ): Promise<{ readonly name: string; readonly version: string; readonly platform: Platform }>;
  build(
    request: BuildRequest,
    options?: OperationOptions & { readonly onProgress?: (event: BuildEvent) => void },
  ): Promise<BuiltImage>;
  /** The image an earlier build left at a target, or undefined. Without it nothing is reused. */
  find?(
    request: Pick<BuildRequest, 'target' | 'platform'>,
    options?: OperationOptions,
  ): Promise<BuiltImage | undefined>;
  /** Puts an image that is taken over where builds are pushed, unchanged. Without it such a step fails. */
  importImage?(request: ImportRequest, options?: OperationOptions): Promise<BuiltImage>;
  /** Frees what builds left behind for one another. Called at the end of a run. */
  release?(): Promise<void>;
}

/** How one step of a plan is to be run. */
export interface StepOptions extends OperationOptions {
  /**
   * Takes the image an earlier run pushed for the same inputs (`build-<key>`) instead of building it again. Who can write to
   * the target repository can put an image there.
   * @defaultValue true
   */
  readonly reuse?: boolean;
  /** Tries of a step whose engine, registry or source went away. A build that fails is not tried again. @defaultValue 3 */
  readonly attempts?: number;
  /** Called with each line of the build's log. */
  readonly onLog?: (text: string) => void;
}

/** Something that runs the steps of a plan, here or elsewhere. */
export interface StepRunner {
  /** Steps it can be given at the same time. @defaultValue 2 */
  readonly concurrency?: number;
  /** Says what builds. Rejects when nothing can. */
  probe(options?: OperationOptions): Promise<{ readonly name: string; readonly version: string }>;
  /**
   * Finds or builds one image. A failure is an outcome; an abort rejects with `signal.reason`.
   *
   * @param parents - the images of the steps this one stands on, by step
   */
  run(
    step: RebuildStep,
    parents: ReadonlyMap<string, BuiltImage>,
    options?: StepOptions,
  ): Promise<RebuildOutcome>;
  /** Frees what steps left behind for one another. Called at the end of a run. */
  release?(): Promise<void>;
}

export type RebuildOutcome =
  | {
      readonly step: string;
      readonly status: 'built';
      readonly image: BuiltImage;
      /** True when an earlier run had built it from the same inputs. */
      readonly reused?: true;
      /**
       * What its context names and does not hold; absent when nothing. The context of an image that is reused is read only when
       * it was built without something it copies.
       */
      readonly findings?: readonly ContextFinding[];
      readonly durationMs: number;
    }
  | {
      readonly step: string;
      readonly status: 'failed';
      readonly code: CoreErrorCode | string;
      readonly message: string;
      /** Dockerfile line that failed, when known. */
      readonly line?: number;
      readonly log: readonly string[];
      readonly durationMs: number;
    }
  | { readonly step: string; readonly status: 'skipped'; readonly blockedBy: readonly string[] };

export type RebuildEvent =
  | { readonly type: 'step-started'; readonly step: string; readonly index: number; readonly total: number }
  | { readonly type: 'step-log'; readonly step: string; readonly text: string }
  | {
      readonly type: 'step-finished';
      readonly step: string;
      readonly status: RebuildOutcome['status'];
      /** Why it failed. */
      readonly code?: string;
      readonly message?: string;
      /** Dockerfile line that failed, when known. */
      readonly line?: number;
    };

export interface RebuildResult {
  readonly plan: Digest;
  readonly engine: { readonly name: string; readonly version: string };
  readonly outcomes: readonly RebuildOutcome[];
}
