import type { Digest } from '@imagevet/registry';
import type { Facts, Verdict } from '../policy/types.ts';

/** The signature that vouches for a rebuilt image's digest under a name. */
export interface Endorsement {
  /** Lineage node it is about. */
  readonly node: string;
  /** Trusted collection (GUN): the internal repository. */
  readonly collection: string;
  readonly server: string;
  /** Tags signed: the rolling one and an immutable one. */
  readonly tags: readonly string[];
  readonly digest: Digest;
  readonly keyIds: readonly string[];
  /** RFC 3339 expiry of the shortest-lived role. */
  readonly expires: string;
  /** True when the published signature was read back and verified. */
  readonly verified: boolean;
}

/** All of one vetting. Plain data; every report format is a rendering of it. */
export interface VetReport extends Omit<Facts, 'requested'> {
  readonly apiVersion: 'imagevet/v1';
  readonly kind: 'VetReport';
  readonly requested: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly verdict: Verdict;
  /** What was signed: the image asked about and every image it stands on; empty when nothing was. */
  readonly endorsements: readonly Endorsement[];
}
