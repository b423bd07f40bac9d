import type { Readable } from 'node:stream';
import { type OperationOptions, type Platform, parsePlatform } from '@imagevet/registry';
import type Dockerode from 'dockerode';
import { CoreError } from '../../errors.ts';
import { engineFailure } from './failures.ts';
import type { EngineAuth } from './registry-auth.ts';

const CONTAINERD_STORE = 'io.containerd.snapshotter.v1';

/** Client certificate of an engine that listens on TCP. PEM text. */
export interface EngineTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What an engine says about itself. */
export interface EngineDescription {
  readonly kind: 'docker' | 'podman';
  /** `Docker Engine` or `Podman Engine`. */
  readonly name: string;
  readonly version: string;
  /** Version of the Docker API it speaks: `1.41`. */
  readonly apiVersion: string;
  /** Whether it keeps images in containerd's store; such an engine takes no context for BuildKit by its own API. */
  readonly containerdStore: boolean;
  readonly platform: Platform;
}

/** What an engine says about an image it holds. */
export interface EngineImage {
  readonly Id: string;
  readonly Os: string;
  readonly Architecture: string;
  readonly Config?: { readonly OnBuild?: readonly string[] | null } | null;
}

interface Request {
  readonly path: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly auth?: EngineAuth;
  readonly file?: Readable;
  readonly signal?: AbortSignal;
}

/**
 * A Docker-compatible engine, asked over dockerode's connection. Its image methods are not used: some take no signal, its
 * progress reader loses errors, and a BuildKit build through it leaves a session open after an abort.
 *
 * @see Docker Engine API, v1.41
 */
export class Engine {
  readonly #docker: Dockerode;
  readonly address: string;

  private constructor(docker: Dockerode, address: string) {
    this.#docker = docker;
    this.address = address;
  }

  static async open(address: string, tls: EngineTls | undefined): Promise<Engine> {
    const where = placeOf(address);
    // Loaded when used: it brings a gRPC stack that readers of manifests should not pay for.
    const { default: Docker } = await import('dockerode');
    // What is not set here, dockerode takes from the environment.
    const unset = {
      socketPath: undefined,
      host: undefined,
      port: undefined,
      version: undefined,
      timeout: undefined,
    };
    const secured = { ca: tls?.ca, cert: tls?.cert, key: tls?.key };
    const protocol = tls === undefined ? 'http' : 'https';
    return new Engine(new Docker({ ...unset, ...where, ...secured, protocol }), address);
  }

  async describe(options: OperationOptions): Promise<EngineDescription> {
    const version = await this.#ask<{
      readonly Version: string;
      readonly ApiVersion: string;
      readonly Os: string;
      readonly Arch: string;
      readonly Components?: readonly { readonly Name: string }[];
    }>({ path: '/version', method: 'GET', ...options });
    const podman = version.Components?.some(({ Name }) => /podman/i.test(Name)) === true;
    const info = await this.#ask<{ readonly DriverStatus?: readonly (readonly string[])[] | null }>({
      ...{ path: '/info', method: 'GET', ...options },
    });
    return {
      containerdStore: (info.DriverStatus ?? []).some(([, value]) => value === CONTAINERD_STORE),
      kind: podman ? 'podman' : 'docker',
      name: podman ? 'Podman Engine' : 'Docker Engine',
      version: version.Version,
      apiVersion: version.ApiVersion,
      platform: parsePlatform(`${version.Os}/${version.Arch}`),
    };
  }

  /** Whether the engine still answers. */
  async answers(): Promise<boolean> {
    return this.#ask({ path: '/_ping', method: 'GET', signal: AbortSignal.timeout(5000) }).then(
      () => true,
      () => false,
    );
  }

  build(context: Readable, query: Request['query'], signal: AbortSignal): Promise<Readable> {
    return this.#stream({ path: '/build?', method: 'POST', file: context, query, signal });
  }

  /** @param tag - a tag, or a digest */
  pull(name: string, tag: string, auth: EngineAuth | undefined, signal: AbortSignal): Promise<Readable> {
    const query = { fromImage: name, tag };
    return this.#stream({ path: '/images/create?', method: 'POST', query, auth, signal });
  }

  push(name: string, tag: string, auth: EngineAuth | undefined, signal: AbortSignal): Promise<Readable> {
    // Engines want the header even when there is nothing in it.
    const shown = auth ?? {};
    return this.#stream({
      path: `/images/${name}/push?`,
      method: 'POST',
      query: { tag },
      auth: shown,
      signal,
    });
  }

  tag(image: string, repo: string, tag: string, signal: AbortSignal): Promise<void> {
    return this.#ask({ path: `/images/${image}/tag?`, method: 'POST', query: { repo, tag }, signal });
  }

  /** The image of that name, or undefined when the engine holds none. */
  async inspect(name: string, signal: AbortSignal): Promise<EngineImage | undefined> {
    try {
      return await this.#ask<EngineImage>({ path: `/images/${name}/json`, method: 'GET', signal });
    } catch (error) {
      if (error instanceof CoreError && error.details?.status === 404) return undefined;
      throw error;
    }
  }

  /** Removes a name, and the image when it was its last. A name that is not there, or in use, is left. */
  async remove(name: string): Promise<void> {
    const signal = AbortSignal.timeout(30_000);
    await this.#ask({ path: `/images/${name}?`, method: 'DELETE', query: { noprune: false }, signal }).catch(
      () => {},
    );
  }

  #ask<T = void>(request: Request): Promise<T> {
    return this.#dial(request, false) as Promise<T>;
  }

  #stream(request: Request): Promise<Readable> {
    return this.#dial(request, true) as Promise<Readable>;
  }

  #dial({ path, method, query, auth, file, signal }: Request, isStream: boolean): Promise<unknown> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request = {
        path,
        method,
        // The client changes what it is given.
        options: { ...query },
        statusCodes: { 200: true, 201: true, 204: true },
        isStream,
        ...(auth === undefined ? {} : { authconfig: auth }),
        ...(file === undefined ? {} : { file }),
        ...(signal === undefined ? {} : { abortSignal: signal }),
      };
      this.#docker.modem.dial(request, (error: unknown, result: unknown) => {
        if (error === null || error === undefined) return resolve(result);
        // A context that is not read to its end would stay open.
        file?.destroy();
        reject(engineFailure(error, `the engine at ${this.address}`, signal));
      });
    });
  }
}

function placeOf(
  address: string,
): { readonly socketPath: string } | { readonly host: string; readonly port: number } {
  const url = URL.parse(address);
  if (url?.protocol === 'unix:' && url.host === '') return { socketPath: decodeURIComponent(url.pathname) };
  if (url !== null && /^(?:tcp|https?):$/.test(url.protocol) && url.username === '') {
    return { host: url.hostname, port: Number(url.port || (url.protocol === 'https:' ? 2376 : 2375)) };
  }
  throw new CoreError('INVALID_OPTIONS', `cannot reach an engine at ${JSON.stringify(address)}`, {
    hint: 'Give unix:///path/to/docker.sock or tcp://host:port.',
  });
}
