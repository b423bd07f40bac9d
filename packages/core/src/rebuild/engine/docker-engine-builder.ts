import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type Fetcher,
  formatPlatform,
  formatReference,
  type Keychain,
  type OperationOptions,
  type Platform,
  parsePlatform,
  resolveImage,
} from '@imagevet/registry';
import type Dockerode from 'dockerode';
import { CoreError } from '../../errors.ts';
import { packContext } from '../context.ts';
import type { BuildEvent, Builder, BuildRequest, BuiltImage } from '../types.ts';
import { readBuild, readPush } from './engine-stream.ts';
import { engineFailure } from './failures.ts';
import { needsBuildKit } from './preflight.ts';
import { registryAuth } from './registry-auth.ts';

/** Options of {@link dockerEngineBuilder}. */
export interface DockerEngineBuilderOptions {
  /** `unix:///path/docker.sock` or `tcp://host:port`. @defaultValue unix:///var/run/docker.sock */
  readonly dockerHost?: string;
  /** Reads back what the engine pushed. */
  readonly registry: Fetcher;
  /** Credentials the engine pulls parents and pushes results with. @defaultValue none */
  readonly keychain?: Keychain;
  /** Network of RUN. @defaultValue the engine's default */
  readonly network?: string;
  /** Longest build, in milliseconds. @defaultValue 3600000 */
  readonly timeoutMs?: number;
  /** Memory of a build, in bytes. @defaultValue no limit of ours */
  readonly memoryBytes?: number;
}

/**
 * Builds on a Docker Engine (or Podman's Docker-compatible socket) and pushes. The engine's word is not taken for what was
 * pushed: the manifest is read back from the registry and bound to the image the engine built.
 */
export function dockerEngineBuilder(options: DockerEngineBuilderOptions): Builder {
  const dockerHost = options.dockerHost ?? 'unix:///var/run/docker.sock';
  let engine: Promise<Dockerode> | undefined;
  const connect = () => {
    engine ??= openEngine(dockerHost);
    return engine;
  };
  return {
    name: 'docker-engine',
    probe: async (operation = {}) => probe(await connect(), dockerHost, operation),
    build: async (request, operation = {}) => {
      const docker = await connect();
      return new Build(docker, options, dockerHost, request).run(operation);
    },
  };
}

async function openEngine(dockerHost: string): Promise<Dockerode> {
  // Loaded when used: it brings a gRPC stack that readers of manifests should not pay for.
  const { default: Engine } = await import('dockerode');
  const url = URL.parse(dockerHost);
  if (url?.protocol === 'unix:') return new Engine({ socketPath: url.pathname });
  if (url !== null && (url.protocol === 'tcp:' || url.protocol === 'http:')) {
    return new Engine({ host: url.hostname, port: Number(url.port || 2375), protocol: 'http' });
  }
  throw new CoreError('INVALID_OPTIONS', `cannot reach an engine at ${JSON.stringify(dockerHost)}`, {
    hint: 'Give unix:///path/to/docker.sock or tcp://host:port.',
  });
}

async function probe(
  docker: Dockerode,
  dockerHost: string,
  options: OperationOptions,
): Promise<{ readonly name: string; readonly version: string; readonly platform: Platform }> {
  options.signal?.throwIfAborted();
  try {
    const version = await docker.version();
    const name = version.Components?.[0]?.Name ?? 'Engine';
    return { name, version: version.Version, platform: parsePlatform(`${version.Os}/${version.Arch}`) };
  } catch (error) {
    throw engineFailure(error, `the engine at ${dockerHost}`, options.signal);
  }
}

/** Largest log of one build: 64 MiB. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 60 * 60 * 1000;

class Build {
  readonly #docker: Dockerode;
  readonly #options: DockerEngineBuilderOptions;
  readonly #dockerHost: string;
  readonly #request: BuildRequest;

  constructor(
    docker: Dockerode,
    options: DockerEngineBuilderOptions,
    dockerHost: string,
    request: BuildRequest,
  ) {
    this.#docker = docker;
    this.#options = options;
    this.#dockerHost = dockerHost;
    this.#request = request;
  }

  async run(
    operation: OperationOptions & { readonly onProgress?: (event: BuildEvent) => void },
  ): Promise<BuiltImage> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const signal = operation.signal === undefined ? timeout : AbortSignal.any([operation.signal, timeout]);
    try {
      await this.#build(signal, operation.onProgress);
      return await this.#push(signal, operation.onProgress);
    } catch (error) {
      if (operation.signal?.aborted === true) throw operation.signal.reason;
      if (timeout.aborted) {
        throw new CoreError(
          'BUILD_LIMIT_EXCEEDED',
          `building ${this.#name} took longer than ${this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms`,
        );
      }
      throw engineFailure(error, `the engine at ${this.#dockerHost}`, signal);
    } finally {
      // A build leaves nothing behind but its cache.
      await this.#docker
        .getImage(this.#name)
        .remove()
        .catch(() => {});
    }
  }

  get #name(): string {
    return formatReference(this.#request.target);
  }

  async #build(signal: AbortSignal, onProgress?: (event: BuildEvent) => void): Promise<void> {
    const { dockerfile, platform, context, target } = this.#request;
    const buildKit = needsBuildKit(dockerfile);
    const name = `Dockerfile.${randomBytes(6).toString('hex')}`;
    const tar = await packContext(context, { name, text: dockerfile });
    const auth = await registryAuth(this.#options.keychain, target, { signal });
    const stream = await this.#docker.buildImage(
      toStream(tar) as never,
      {
        t: this.#name,
        dockerfile: name,
        version: buildKit ? '2' : '1',
        platform: formatPlatform(platform),
        rm: true,
        forcerm: true,
        ...(this.#options.network === undefined ? {} : { networkmode: this.#options.network }),
        ...(this.#options.memoryBytes === undefined
          ? {}
          : { memory: this.#options.memoryBytes, memswap: this.#options.memoryBytes }),
        ...(auth === undefined ? {} : { registryconfig: { [target.registry]: auth } }),
        abortSignal: signal,
      } as Dockerode.ImageBuildOptions,
    );
    await readBuild(stream, { dockerfile, signal, maxBytes: MAX_LOG_BYTES, onProgress });
  }

  async #push(signal: AbortSignal, onProgress?: (event: BuildEvent) => void): Promise<BuiltImage> {
    const { target, platform } = this.#request;
    const image = this.#docker.getImage(this.#name);
    const { Id: id, Architecture: architecture } = await image.inspect();
    if (architecture !== platform.architecture) {
      throw new CoreError(
        'BUILD_FAILED',
        `the engine built ${architecture}, asked for ${formatPlatform(platform)}`,
      );
    }
    // Engines want the header even when there is nothing in it.
    const authconfig = (await registryAuth(this.#options.keychain, target, { signal })) ?? {};
    const stream = await image.push({ authconfig, abortSignal: signal } as Dockerode.ImagePushOptions);
    await readPush(stream, { signal, maxBytes: MAX_LOG_BYTES, onProgress, name: this.#name });
    const pushed = await resolveImage(target, { source: this.#options.registry, platform, signal });
    // With the containerd image store an image's id is its manifest's digest.
    if (id !== pushed.config.digest && id !== pushed.manifest.digest) {
      throw new CoreError(
        'PUSH_FAILED',
        `${this.#name}: the registry does not show the image that was built`,
        {
          hint: 'Somebody else pushed to this name meanwhile, or the registry changed the image.',
          details: { built: id, found: pushed.config.digest },
        },
      );
    }
    return {
      reference: { ...target, digest: pushed.manifest.digest },
      descriptor: pushed.manifest,
      diffIds: pushed.diffIds,
      imageId: pushed.config.digest,
    };
  }
}

/** A tar as the stream the engine's client wants. */
function toStream(tar: Uint8Array): NodeJS.ReadableStream {
  return Readable.from([tar], { objectMode: false });
}
