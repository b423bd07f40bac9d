import type { Fetcher, Keychain, Pusher } from '@imagevet/registry';
import type { BuildProxy } from '../secrets/build-proxy.ts';
import type { BuildkitAddress } from './connect.ts';

/** Options of {@link buildkitBuilder}. */
export interface BuildkitBuilderOptions extends BuildkitAddress {
  /** Reads back what was pushed, and gives it its name. */
  readonly registry: Fetcher & Pusher;
  /** Credentials for pulling parents and pushing results, each for its own registry. @defaultValue none */
  readonly keychain?: Keychain;
  /**
   * Seconds since 1970 that everything a build makes is dated with, so that two builds of the same source can have the same
   * digest. @see reproducible-builds.org, SOURCE_DATE_EPOCH
   */
  readonly sourceDateEpoch?: number;
  /**
   * Sources a build may fetch beside its pinned images, as patterns of BuildKit's source policy: `https://go.dev/*`.
   * @defaultValue none
   */
  readonly allowedSources?: readonly string[];
  /** Network of RUN. `host` wants a daemon started with `--allow-insecure-entitlement network.host`. @defaultValue the daemon's */
  readonly network?: 'host' | 'none';
  /**
   * Control group each RUN is put below, by its path: the limits it has, of memory, processes and processors, hold for all of
   * them together. @defaultValue the daemon's
   */
  readonly cgroupParent?: string;
  /** @defaultValue none */
  readonly proxy?: BuildProxy;
  /** Uses the daemon's build cache. @defaultValue false */
  readonly cache?: boolean;
  /** Longest build with its push, in milliseconds. @defaultValue 3600000 */
  readonly timeoutMs?: number;
  /** Most bytes of one build's log. @defaultValue 67108864 */
  readonly maxLogBytes?: number;
}
