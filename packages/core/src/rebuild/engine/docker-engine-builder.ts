import type { Fetcher, Keychain, Pusher } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { type BuildProxy, secretsInImage } from '../build-proxy.ts';
import { MachineCheck } from '../check-machine.ts';
import { existingImage } from '../claim-name.ts';
import { SecretCheck } from '../secret-check.ts';
import type { Builder } from '../types.ts';
import { Build } from './build.ts';
import { Engine, type EngineDescription, type EngineTls } from './engine.ts';

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

/**
 * Builds on a Docker Engine (or Podman's Docker-compatible socket) and pushes. The engine's word is not taken for what was
 * pushed: the manifest is read back from the registry and bound to the image the engine built.
 *
 * Parents are pulled first, each with the credentials of its own registry. An engine that would silently do something else
 * than the Dockerfile says is refused with `BUILD_UNSUPPORTED` before anything is built. Podman does not stop a RUN whose
 * build was aborted.
 */
export function dockerEngineBuilder(options: DockerEngineBuilderOptions): Builder {
  const address = options.dockerHost ?? 'unix:///var/run/docker.sock';
  for (const [name, value] of Object.entries({
    timeoutMs: options.timeoutMs,
    memoryBytes: options.memoryBytes,
  })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new CoreError('INVALID_OPTIONS', `${name} is ${value}, expected a positive whole number`);
    }
  }
  let opened: Promise<Engine> | undefined;
  let described: EngineDescription | undefined;
  let running = 0;
  const leftovers = new Set<string>();
  const machines = new MachineCheck();
  const secrets = new SecretCheck(secretsInImage(options.proxy));
  const open = () => {
    opened ??= Engine.open(address, options.tls);
    return opened;
  };
  return {
    name: 'docker-engine',
    async probe(operation = {}) {
      const engine = await open();
      described = await engine.describe({ signal: operation.signal });
      const { name, version, platform } = described;
      return { name, version, platform };
    },
    async build(request, operation = {}) {
      operation.signal?.throwIfAborted();
      const engine = await open();
      described ??= await engine.describe({ signal: operation.signal });
      running += 1;
      try {
        return await new Build(engine, described, options, request, { leftovers, machines, secrets }).run(
          operation,
        );
      } finally {
        running -= 1;
      }
    },
    find: (request, operation = {}) => existingImage(request, options.registry, operation),
    async release() {
      // Another run's builds may stand on these.
      if (running > 0 || leftovers.size === 0) return;
      const engine = await open();
      const names = [...leftovers].reverse();
      leftovers.clear();
      // Children go before their parents.
      for (const name of names) await engine.remove(name);
    },
  };
}
