import { CoreError } from '../../errors.ts';
import { MachineCheck } from '../check-machine.ts';
import { existingImage } from '../claim-name.ts';
import { importImage } from '../import-image.ts';
import { secretsInImage } from '../secrets/build-proxy.ts';
import { SecretCheck } from '../secrets/secret-check.ts';
import type { Builder } from '../types.ts';
import { Build } from './build.ts';
import { Engine, type EngineDescription } from './engine.ts';
import type { DockerEngineBuilderOptions } from './options.ts';

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
    importImage: (request, operation = {}) => importImage(request, options.registry, operation),
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
