import { randomBytes } from 'node:crypto';
import {
  annotateImage,
  formatPlatform,
  formatReference,
  type ImageReference,
  type OperationOptions,
  RegistryError,
  resolveImage,
} from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { Dockerfile } from '../../dockerfile/types.ts';
import { CoreError } from '../../errors.ts';
import type { MachineCheck } from '../check-machine.ts';
import { claimName, toBuiltImage } from '../claim-name.ts';
import { packContext } from '../context/pack-context.ts';
import { proxyArgs, refuseRecordedProxy, withoutSecrets } from '../secrets/build-proxy.ts';
import type { SecretCheck } from '../secrets/secret-check.ts';
import type { BuildEvent, BuildRequest, BuiltImage } from '../types.ts';
import type { Engine, EngineDescription } from './engine.ts';
import { engineFailure, engineLost } from './failures.ts';
import type { DockerEngineBuilderOptions } from './options.ts';
import { fetchParents, nameOf } from './parents.ts';
import { chooseBackend, refuseCopyOfDockerfile, withoutFloatingFrontend } from './preflight.ts';
import { readBuild, readTransfer } from './read-build.ts';
import { registryAuth } from './registry-auth.ts';

type BuildOptions = OperationOptions & { readonly onProgress?: (event: BuildEvent) => void };

/** Largest log of one build: 64 MiB. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;
/** Longest build: an hour. */
const TIMEOUT_MS = 60 * 60 * 1000;
/** At the end of a tag: pushed by the engine, and not annotated. */
const RAW_SUFFIX = '-raw';
/** Its API does not list what a build runs, and has nothing that stops it. */
const GOES_ON = 'cannot stop the RUN in hand: it goes on until it ends, and no step after it is begun';
/** What a build that was killed exits with: by a limit of memory, or by an engine that is shutting down. */
const KILLED = 137;

/** What the builds of one builder share. */
interface Shared {
  /** Names in the engine's store that nobody needs after the run. */
  readonly leftovers: Set<string>;
  readonly machines: MachineCheck;
  readonly secrets: SecretCheck;
}

/** One build on one engine, from the parents to the pushed manifest. */
export class Build {
  readonly #engine: Engine;
  readonly #description: EngineDescription;
  readonly #options: DockerEngineBuilderOptions;
  readonly #request: BuildRequest;
  readonly #shared: Shared;
  /** Name in the engine's store while it is built: tells whose it is, and two builds of one target do not meet. */
  readonly #local: string;
  #bases: readonly ImageReference[] = [];
  /** Whether the engine is building. */
  #building = false;

  constructor(
    engine: Engine,
    description: EngineDescription,
    options: DockerEngineBuilderOptions,
    request: BuildRequest,
    shared: Shared,
  ) {
    this.#engine = engine;
    this.#description = description;
    this.#options = options;
    this.#request = request;
    this.#shared = shared;
    const { registry, repository } = request.target;
    this.#local = formatReference({ registry, repository, tag: `build-${randomBytes(10).toString('hex')}` });
  }

  async run({ signal: asked, onProgress: tell }: BuildOptions): Promise<BuiltImage> {
    const onProgress = withoutSecrets(this.#options.proxy, tell);
    const limit = this.#options.timeoutMs ?? TIMEOUT_MS;
    const timeout = AbortSignal.timeout(limit);
    const signal = asked === undefined ? timeout : AbortSignal.any([asked, timeout]);
    try {
      const id = await this.#build(signal, onProgress);
      return await this.#push(id, signal, onProgress);
    } catch (error) {
      const goesOn = signal.aborted && this.#building && this.#description.kind === 'podman';
      if (goesOn) onProgress?.({ type: 'build-log', text: `${this.#where} ${GOES_ON}` });
      if (asked?.aborted === true) throw asked.reason;
      if (timeout.aborted) {
        const target = formatReference(this.#request.target);
        throw new CoreError('BUILD_LIMIT_EXCEEDED', `building ${target} took longer than ${limit} ms`, {
          ...(goesOn ? { hint: `The engine ${GOES_ON}.` } : {}),
        });
      }
      throw await this.#explain(engineFailure(error, this.#where, undefined));
    } finally {
      await this.#engine.remove(this.#local);
    }
  }

  get #where(): string {
    return `the engine at ${this.#engine.address}`;
  }

  /** An engine that is shut down kills its builds first, which then look as if they had failed. */
  async #explain(error: unknown): Promise<unknown> {
    const killed =
      error instanceof CoreError && error.code === 'BUILD_FAILED' && error.details?.exitCode === KILLED;
    return killed && !(await this.#engine.answers()) ? engineLost(this.#where, error) : error;
  }

  async #build(signal: AbortSignal, onProgress: BuildOptions['onProgress']): Promise<string> {
    const { platform, context, dockerfilePath, parameters } = this.#request;
    const { network, memoryBytes, cgroupParent, cache } = this.#options;
    const { keychain, proxy, maxLogBytes = MAX_LOG_BYTES } = this.#options;
    const parsed = parseDockerfile(this.#request.dockerfile, {
      platform,
      buildPlatform: this.#description.platform,
      ...parameters,
    });
    refuseRecordedProxy(proxy, parsed);
    this.#bases = parsed.stages.flatMap(({ base }) => (base.kind === 'image' ? [base.reference] : []));
    await this.#checkMachines(parsed, signal, onProgress);
    const backend = chooseBackend(parsed, this.#description, this.#options);
    const reading = { maxBytes: maxLogBytes, onProgress, engine: this.#where };
    for (const name of await fetchParents(this.#engine, parsed, { ...reading, keychain, platform, signal })) {
      this.#shared.leftovers.add(name);
    }
    if (
      backend === 'buildkit' &&
      !context.some(({ path, type }) => path === dockerfilePath && type !== 'symlink')
    ) {
      refuseCopyOfDockerfile(parsed);
    }
    const dockerfile = backend === 'buildkit' ? withoutFloatingFrontend(parsed.text) : parsed.text;
    const { tar, name } = packContext(context, { text: dockerfile, path: dockerfilePath, backend });
    const buildArgs = { ...parameters?.buildArgs, ...proxyArgs(proxy) };
    const query = {
      t: this.#local,
      dockerfile: name,
      platform: formatPlatform(platform),
      rm: true,
      forcerm: true,
      nocache: cache !== true || this.#request.cache === false,
      ...(backend === 'buildkit' ? { version: '2' } : {}),
      ...(network === undefined ? {} : { networkmode: network }),
      ...(memoryBytes === undefined ? {} : { memory: memoryBytes, memswap: memoryBytes }),
      ...(cgroupParent === undefined ? {} : { cgroupparent: cgroupParent }),
      ...(parameters?.target === undefined ? {} : { target: parameters.target }),
      ...(Object.keys(buildArgs).length === 0 ? {} : { buildargs: JSON.stringify(buildArgs) }),
    };
    this.#building = true;
    const stream = await this.#engine.build(tar, query, signal);
    const id = await readBuild(stream, { ...reading, dockerfile });
    this.#building = false;
    await this.#checkResult(id, signal);
    return id;
  }

  /** Bases by digest are read in their registry: an engine would take the label's word. */
  async #checkMachines(
    dockerfile: Dockerfile,
    signal: AbortSignal,
    onProgress: BuildOptions['onProgress'],
  ): Promise<void> {
    const { platform } = this.#request;
    const { registry: source, uncheckedBases = 'deny' } = this.#options;
    for (const { base, platform: own, startLine: line } of dockerfile.stages) {
      if (base.kind !== 'image' || base.reference.digest === undefined || own !== undefined) continue;
      await this.#shared.machines
        .check(base.reference, platform, { source, signal })
        .catch((error: unknown) => {
          signal.throwIfAborted();
          if (!(error instanceof RegistryError)) throw error;
          const text = `the programs of ${nameOf(base.reference)} could not be looked at: ${error.message}`;
          // What passes is tried again.
          if (uncheckedBases === 'deny' && isPassing(error)) throw error;
          if (uncheckedBases === 'deny') {
            throw new CoreError(error.code === 'NOT_FOUND' ? 'BUILD_FAILED' : 'BUILD_UNSUPPORTED', text, {
              hint: 'Let the registry client read the base, or take the word of its label with uncheckedBases.',
              details: { line },
              cause: error,
            });
          }
          onProgress?.({ type: 'build-log', text });
        });
    }
  }

  /** What the build said it made, and what its name says now, are one image of the platform that was asked for. */
  async #checkResult(id: string, signal: AbortSignal): Promise<void> {
    const { platform } = this.#request;
    const image = await this.#engine.inspect(this.#local, signal);
    if (image === undefined || withAlgorithm(image.Id) !== id) {
      throw new CoreError('BUILD_FAILED', 'the engine does not hold the image it said it had built', {
        details: { built: id, found: image?.Id },
      });
    }
    if (image.Architecture === platform.architecture && image.Os === platform.os) return;
    const found = formatPlatform({ os: image.Os, architecture: image.Architecture });
    throw new CoreError('BUILD_FAILED', `the engine built ${found}, asked for ${formatPlatform(platform)}`);
  }

  async #push(id: string, signal: AbortSignal, onProgress: BuildOptions['onProgress']): Promise<BuiltImage> {
    const { target, platform, annotations } = this.#request;
    const { keychain, registry, maxLogBytes = MAX_LOG_BYTES } = this.#options;
    // What is not annotated yet never has the name that is looked for.
    const tag = `${target.tag ?? 'latest'}${annotations === undefined ? '' : RAW_SUFFIX}`;
    const repository = formatReference({ registry: target.registry, repository: target.repository });
    const auth = await registryAuth(keychain, target, { signal });
    await this.#engine.tag(this.#local, repository, tag, signal);
    try {
      const stream = await this.#engine.push(repository, tag, auth, signal);
      await readTransfer(stream, {
        maxBytes: maxLogBytes,
        engine: this.#where,
        onProgress,
        code: 'PUSH_FAILED',
        doing: `pushing ${repository}:${tag}`,
      });
      const pushed = await resolveImage(
        { ...target, tag, digest: undefined },
        { source: registry, platform, signal },
      );
      // With the containerd image store an image's id is its manifest's digest.
      if (id !== pushed.config.digest && id !== pushed.manifest.digest) {
        throw new CoreError(
          'PUSH_FAILED',
          `${repository}:${tag}: the registry does not show the image that was built`,
          {
            hint: 'Somebody else pushed to this name meanwhile, or the registry changed the image.',
            details: { built: id, found: pushed.config.digest },
          },
        );
      }
      await this.#shared.secrets.check(pushed, this.#bases, { registry, signal });
      const { name, version } = this.#description;
      const image = { ...toBuiltImage(target, pushed), builtBy: { name, version } };
      // Children find it without pulling, as long as both names are there.
      this.#shared.leftovers.add(nameOf(image.reference)).add(`${repository}:${tag}`);
      return annotations === undefined ? image : await this.#annotate(image, annotations, signal);
    } catch (error) {
      await this.#engine.remove(`${repository}:${tag}`);
      throw error;
    }
  }

  async #annotate(
    image: BuiltImage,
    annotations: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<BuiltImage> {
    const { registry } = this.#options;
    const target = { ...this.#request.target, digest: undefined };
    const from = { ...image.reference, tag: undefined };
    return claimName(this.#request, { registry, signal }, async () => {
      const { manifest } = await annotateImage(from, {
        ...{ source: registry, destination: registry, annotations, target, signal },
      });
      return { ...image, reference: { ...target, digest: manifest.digest }, descriptor: manifest };
    });
  }
}

function isPassing({ code }: RegistryError): boolean {
  return code === 'UNREACHABLE' || code === 'TIMEOUT' || code === 'RATE_LIMITED';
}

function withAlgorithm(id: string): string {
  return id.startsWith('sha256:') ? id : `sha256:${id}`;
}
