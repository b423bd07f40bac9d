import type { Fetcher, OperationOptions, Platform, Pusher, Resolver } from '@imagevet/registry';
import type { ComparisonGrade } from '../compare/types.ts';
import type { AsOf, ResolveLineageOptions } from '../lineage/options.ts';
import type { LineageEvent, ProvenanceSource, SourceHost } from '../lineage/types.ts';
import type { Policy, PolicyException } from '../policy/types.ts';
import type { PlanTarget } from '../rebuild/plan/plan-rebuild.ts';
import type { StepTools } from '../rebuild/run-step.ts';
import type { Builder, RebuildEvent, StepRunner } from '../rebuild/types.ts';
import type { EndorseOptions } from './endorse.ts';

/** The stages of {@link vet}, in order. */
export type VetStage =
  | 'lineage'
  | 'audit'
  | 'plan'
  | 'rebuild'
  | 'compare'
  | 'policy'
  | 'promote'
  | 'endorse';

/** Progress of {@link vet}. */
export type VetEvent =
  | { readonly type: 'stage-started'; readonly stage: VetStage }
  | { readonly type: 'stage-finished'; readonly stage: VetStage; readonly summary: string }
  | { readonly type: 'stage-skipped'; readonly stage: VetStage; readonly reason: string }
  | LineageEvent
  | RebuildEvent;

/** The internal registry rebuilt images are pushed to. */
export interface RebuildTarget extends PlanTarget {
  /** Access to that registry. */
  readonly client: Fetcher & Pusher;
}

/** Options of {@link vet}. */
export interface VetOptions
  extends OperationOptions,
    Pick<ResolveLineageOptions, 'buildArgs' | 'otherVersions' | 'cache'>,
    Pick<StepTools, 'incompleteContext' | 'mirrors'> {
  /** Reads public images. @defaultValue anonymous access to the public registries */
  readonly registry?: Fetcher;
  /**
   * The public registries seen with other credentials or from elsewhere: each tag of the lineage must be the same image to
   * all of them. @defaultValue none
   */
  readonly witnesses?: readonly Resolver[];
  /** Who is asked where an image came from. @defaultValue every built-in source, on public services */
  readonly sources?: readonly ProvenanceSource[];
  /** Reads Dockerfiles and build contexts. @defaultValue the public source hosts */
  readonly host?: SourceHost;
  /** @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /**
   * Other platforms of the image to hold against it: where they come from other source or stand on other bases is a finding.
   * `all` is every one its index offers. They are not rebuilt. @defaultValue none
   */
  readonly otherPlatforms?: readonly Platform[] | 'all';
  /** Answers "where did it come from" as of this time; `build`: of each image as of its own build. @defaultValue now */
  readonly asOf?: AsOf;
  /** Where rebuilt images go; without it nothing is planned or rebuilt. */
  readonly target?: RebuildTarget;
  /** Builds and pushes; without it the rebuild is planned only. */
  readonly builder?: Builder;
  /**
   * Builds everything twice with the `builder`, and takes an image only when both builds are equal at least this well.
   * `same-content` is what times and caches of a build allow. @defaultValue one build
   */
  readonly doubleBuild?: ComparisonGrade;
  /** Builds and pushes elsewhere, on a queue of workers for one; instead of a `builder`. */
  readonly runner?: StepRunner;
  /** Builds at the same time. @defaultValue 2; with a `runner`, what it can take */
  readonly concurrency?: number;
  /** Signs what the policy admitted; without it nothing is signed. */
  readonly trust?: Omit<EndorseOptions, 'registry' | 'signal' | 'now'>;
  /** @defaultValue {@link defaultPolicy} */
  readonly policy?: Policy;
  readonly exceptions?: readonly PolicyException[];
  /** The clock. @defaultValue the system's */
  readonly now?: () => Date;
  readonly onProgress?: (event: VetEvent) => void;
}
