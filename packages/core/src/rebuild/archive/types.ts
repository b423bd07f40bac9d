import type { Digest } from '@imagevet/registry';

/** Something a build fetched. @see SLSA provenance v1, `resolvedDependencies` */
export interface FetchedMaterial {
  /** What the build asked for. */
  readonly url: string;
  /** Where it came from, when that was somewhere else. */
  readonly movedTo?: string;
  readonly status: number;
  readonly digest: Digest;
  readonly size: number;
}
