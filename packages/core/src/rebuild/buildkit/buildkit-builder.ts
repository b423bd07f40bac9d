import type { OperationOptions, Platform } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { MachineCheck } from '../check-machine.ts';
import { existingImage } from '../claim-name.ts';
import { importImage } from '../import-image.ts';
import { secretsInImage } from '../secrets/build-proxy.ts';
import { SecretCheck } from '../secrets/secret-check.ts';
import type { Builder } from '../types.ts';
import { BuildkitBuild } from './build.ts';
import { openBuildkit } from './connect.ts';
import { describe } from './control.ts';
import { GrpcClient } from './grpc-client.ts';
import type { BuildkitBuilderOptions } from './options.ts';
import { enforcesPolicy } from './policy-probe.ts';

/**
 * Builds on a BuildKit daemon: a remote `buildkitd`, or the one inside a Docker Engine whose image store is containerd's. The
 * Dockerfile is built as it is, without an edit: a source policy turns each image it names into the rebuilt or pinned one, and
 * denies everything else the build would fetch itself. (What a RUN fetches is not the policy's matter; see `network` and
 * `proxy`.) The daemon pushes, and what it pushed is read back from the registry.
 *
 * A daemon that does not heed policies is refused with `BUILD_UNSUPPORTED` before anything is built: it would build on
 * whatever the names mean today and say nothing.
 */
export function buildkitBuilder(options: BuildkitBuilderOptions): Builder {
  const { timeoutMs, sourceDateEpoch } = options;
  for (const [name, value] of Object.entries({ timeoutMs, sourceDateEpoch })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new CoreError('INVALID_OPTIONS', `${name} is ${value}, expected a whole number`);
    }
  }
  const machines = new MachineCheck();
  const secrets = new SecretCheck(secretsInImage(options.proxy));
  let known: Promise<boolean> | undefined;
  /** Connections of its own for each: a build that is given up takes nothing else along. */
  const using = async <T>(
    use: (client: GrpcClient) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> => {
    const client = new GrpcClient(await openBuildkit(options, signal));
    try {
      return await use(client);
    } finally {
      client.close();
    }
  };
  const policyEnforced = (signal: AbortSignal | undefined): Promise<boolean> => {
    known ??= using((client) => enforcesPolicy(client, signal), signal);
    known.catch(() => {
      known = undefined;
    });
    return known;
  };
  return {
    name: 'buildkit',
    ...(sourceDateEpoch === undefined ? {} : { variant: `SOURCE_DATE_EPOCH=${sourceDateEpoch}` }),
    probe: ({ signal }: OperationOptions = {}) =>
      using(async (client) => {
        const { version, platform } = await describe(client, signal).catch((error: unknown) => {
          signal?.throwIfAborted();
          throw new CoreError('ENGINE_UNREACHABLE', `no BuildKit answers at ${options.address}`, {
            cause: error,
          });
        });
        return { name: 'BuildKit', version, platform } satisfies {
          platform: Platform;
          name: string;
          version: string;
        };
      }, signal),
    async build(request, operation = {}) {
      operation.signal?.throwIfAborted();
      if (!(await policyEnforced(operation.signal))) {
        throw new CoreError(
          'BUILD_UNSUPPORTED',
          `the BuildKit at ${options.address} does not heed source policies`,
          {
            hint: 'Use Docker 23 or newer, or buildkitd 0.11 or newer; or dockerEngineBuilder(), which rewrites FROM instead.',
          },
        );
      }
      const { signal } = operation;
      return using(
        (client) =>
          using(
            (solver) =>
              new BuildkitBuild({ client, solver, machines, secrets }, options, request).run(operation),
            signal,
          ),
        signal,
      );
    },
    find: (request, operation = {}) => existingImage(request, options.registry, operation),
    importImage: (request, operation = {}) => importImage(request, options.registry, operation),
  };
}
