import type { Fetcher, Keychain, Pusher } from '@imagevet/registry';
import type { BuildProxy } from '../secrets/build-proxy.ts';
import type { EngineTls } from './engine.ts';

/** Options of {@link dockerEngineBuilder}. */
export interface DockerEngineBuilderOptions {
  /** `unix:///path/docker.sock` or `tcp://host:port`. @defaultValue unix:///var/run/docker.sock */
  readonly dockerHost?: string;
  /** Certificates of an engine on TCP, in PEM; with them it is asked by TLS. */
  readonly tls?: EngineTls;
  /** Reads back what the engine pushed, and annotates it: no engine of this kind can. */
  readonly registry: Fetcher & Pusher;
  /** Credentials the engine pulls parents and pushes results with. @defaultValue none */
  readonly keychain?: Keychain;
  /**
   * What becomes of a build on a base by digest that `registry` cannot read, so that nobody looked whether its programs are for the
   * platform on its label. `allow` says so in the log. @defaultValue 'deny'
   */
  readonly uncheckedBases?: 'deny' | 'allow';
  /** Network of RUN. @defaultValue the engine's default */
  readonly network?: string;
  /** @defaultValue none */
  readonly proxy?: BuildProxy;
  /**
   * Uses the engine's build cache. What it holds was put there by whoever built on that engine, at any time.
   * @defaultValue false
   */
  readonly cache?: boolean;
  /** Longest build with its push, in milliseconds. @defaultValue 3600000 */
  readonly timeoutMs?: number;
  /** Most bytes of one build's log. @defaultValue 67108864 */
  readonly maxLogBytes?: number;
  /**
   * Memory of a build, in bytes. BuildKit inside an engine heeds no such limit: a Dockerfile that needs it is refused.
   * @defaultValue no limit of ours
   */
  readonly memoryBytes?: number;
  /**
   * Control group builds run in, by its path: the limits it has, of memory, processes and processors, hold for all of them
   * together. BuildKit inside an engine does not heed it either. @defaultValue the engine's
   */
  readonly cgroupParent?: string;
}
