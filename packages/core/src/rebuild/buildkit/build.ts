import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { formatPlatform, formatReference, isDigest, parseReference, resolveImage } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { CoreError } from '../../errors.ts';
import type { MachineCheck } from '../check-machine.ts';
import { claimName, toBuiltImage } from '../claim-name.ts';
import { packEntries } from '../context/pack-context.ts';
import { BuildPosition } from '../engine/failing-line.ts';
import { printableLines } from '../engine/messages.ts';
import type { SourcePolicy } from '../export/source-policy.ts';
import { proxyArgs, refuseRecordedProxy, withoutSecrets } from '../secrets/build-proxy.ts';
import type { SecretCheck } from '../secrets/secret-check.ts';
import type { Builder, BuildRequest, BuiltImage } from '../types.ts';
import { describe, solve, watch } from './control.ts';
import { credentialsFor } from './credentials.ts';
import { buildFailure } from './failures.ts';
import type { GrpcClient } from './grpc-client.ts';
import type { BuildkitBuilderOptions } from './options.ts';
import { DOCKERFILE_DIRECTORY, openSession } from './session.ts';

type BuildOptions = NonNullable<Parameters<Builder['build']>[1]>;

const MAX_LOG_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 60 * 60 * 1000;
/** How long is waited for what a daemon still tells of a build that failed. */
const LAST_WORDS_MS = 2000;

/** What a build is given of its builder. */
interface Shared {
  /** For the session, and for what the daemon tells meanwhile. */
  readonly client: GrpcClient;
  /** Another connection: a failure whose headers are too large for Node.js ends it. */
  readonly solver: GrpcClient;
  readonly machines: MachineCheck;
  readonly secrets: SecretCheck;
}

/** One build on a BuildKit daemon, from the context to the pushed manifest. */
export class BuildkitBuild {
  readonly #client: GrpcClient;
  readonly #solver: GrpcClient;
  readonly #options: BuildkitBuilderOptions;
  readonly #request: BuildRequest;
  readonly #machines: MachineCheck;
  readonly #secrets: SecretCheck;
  readonly #position: BuildPosition;
  readonly #dockerfile: string;

  /** How the last step that failed says it did. */
  #failure: string | undefined;

  constructor(
    { client, solver, machines, secrets }: Shared,
    options: BuildkitBuilderOptions,
    request: BuildRequest,
  ) {
    this.#machines = machines;
    this.#secrets = secrets;
    this.#client = client;
    this.#solver = solver;
    this.#options = options;
    this.#request = request;
    this.#dockerfile = request.unedited?.dockerfile ?? request.dockerfile;
    this.#position = new BuildPosition(this.#dockerfile);
  }

  async run({ signal: asked, onProgress: tell }: BuildOptions): Promise<BuiltImage> {
    const onProgress = withoutSecrets(this.#options.proxy, tell);
    const limit = this.#options.timeoutMs ?? TIMEOUT_MS;
    const timeout = AbortSignal.timeout(limit);
    const stop = new AbortController();
    const signal = AbortSignal.any([timeout, stop.signal, ...(asked === undefined ? [] : [asked])]);
    const tar = packEntries(this.#request.context);
    const session = openSession(
      this.#client,
      {
        context: () => tar,
        dockerfile: this.#dockerfile,
        credentials: (host) =>
          credentialsFor(host, this.#request, { keychain: this.#options.keychain, signal }),
      },
      signal,
    );
    try {
      this.#checkProxy();
      await this.#checkParents(signal);
      const ref = randomBytes(16).toString('hex');
      const building = solve(this.#solver, this.#solveRequest(ref, session.id, session.contextUrl), signal);
      const watching = this.#watch(ref, signal, onProgress).catch((error: unknown) => {
        // The log may be missing; the build may not be.
        if (error instanceof CoreError) stop.abort(error);
      });
      // Which step failed is told there, if nothing else says it.
      const answer = await building.catch(async (error: unknown) => {
        await Promise.race([watching, delay(LAST_WORDS_MS, undefined, { ref: false })]);
        throw error;
      });
      await watching;
      return await this.#readBack(answer, signal);
    } catch (error) {
      if (asked?.aborted === true) throw asked.reason;
      if (stop.signal.aborted) throw stop.signal.reason;
      if (timeout.aborted) {
        const target = formatReference(this.#request.target);
        throw new CoreError('BUILD_LIMIT_EXCEEDED', `building ${target} took longer than ${limit} ms`);
      }
      const { address } = this.#options;
      const { target } = this.#request;
      const { line } = this.#position;
      throw buildFailure(error, { address, target, dockerfile: this.#dockerfile, line, told: this.#failure });
    } finally {
      session.close();
      tar.destroy();
    }
  }

  #solveRequest(ref: string, session: string, contextUrl: string) {
    const { platform, target, annotations = {}, parameters } = this.#request;
    const { cache, network, cgroupParent, proxy, sourceDateEpoch } = this.#options;
    const args = {
      ...parameters?.buildArgs,
      ...proxyArgs(proxy),
      SOURCE_DATE_EPOCH: sourceDateEpoch?.toString(),
    };
    const { registry, repository } = target;
    return {
      ref,
      session,
      policy: this.#policy(),
      entitlements: network === 'host' ? ['network.host'] : [],
      frontendAttrs: {
        context: contextUrl,
        dockerfilekey: DOCKERFILE_DIRECTORY,
        filename: 'Dockerfile',
        platform: formatPlatform(platform),
        ...(parameters?.target === undefined ? {} : { target: parameters.target }),
        ...(cache === true && this.#request.cache !== false ? {} : { 'no-cache': '' }),
        ...(network === undefined ? {} : { 'force-network-mode': network }),
        ...(cgroupParent === undefined ? {} : { 'cgroup-parent': cgroupParent }),
        // A frontend that no digest names does not read the Dockerfile: the daemon's own does.
        ...(isPinned(this.#dockerfile) ? {} : { cmdline: 'imagevet' }),
        ...Object.fromEntries(
          Object.entries(args).flatMap(([name, value]) =>
            value === undefined ? [] : [[`build-arg:${name}`, value]],
          ),
        ),
      },
      exporter: {
        type: 'image',
        attrs: {
          // By digest, and not into the daemon's own store: what is named there, another run's build may not name.
          name: formatReference({ registry, repository }),
          push: 'true',
          'push-by-digest': 'true',
          store: 'false',
          // Set, as the defaults change with the daemon's version and would change the digest.
          'oci-mediatypes': 'true',
          compression: 'gzip',
          ...Object.fromEntries(
            Object.entries(annotations).map(([name, value]) => [`annotation-manifest.${name}`, value]),
          ),
          ...(sourceDateEpoch === undefined ? {} : { 'rewrite-timestamp': 'true' }),
        },
      },
    };
  }

  /** Nothing but the context and the pinned images; the last rule that matches decides. */
  #policy(): SourcePolicy {
    const pins = Object.entries(this.#request.unedited?.pins ?? {});
    const images = pins.length > 0 ? pins.map(([, pin]) => pin) : this.#pinnedInText();
    const allowed = [
      'http://buildkit-session/*',
      `local://${DOCKERFILE_DIRECTORY}`,
      ...images.map(identifierOf),
      ...(this.#options.allowedSources ?? []),
    ];
    return {
      version: 1,
      rules: [
        { action: 'DENY', selector: { identifier: '*' } },
        ...allowed.map((identifier) => ({ action: 'ALLOW' as const, selector: { identifier } })),
        ...pins.map(([reference, pin]) => ({
          action: 'CONVERT' as const,
          selector: { identifier: identifierOf(reference) },
          updates: { identifier: identifierOf(pin) },
        })),
      ],
    };
  }

  /** Images a Dockerfile names by digest itself. */
  #pinnedInText(): readonly string[] {
    return [...this.#dockerfile.matchAll(/[^\s=,'"]+@sha256:[0-9a-f]{64}/g)].flatMap(([text]) => {
      try {
        return [formatReference({ ...parseReference(text), tag: undefined })];
      } catch {
        return [];
      }
    });
  }

  #checkProxy(): void {
    const { platform, parameters } = this.#request;
    refuseRecordedProxy(this.#options.proxy, parseDockerfile(this.#dockerfile, { platform, ...parameters }));
  }

  /** A daemon builds on a base of another platform with no more than a warning. */
  async #checkParents(signal: AbortSignal): Promise<void> {
    const { platform, unedited, parameters } = this.#request;
    const bases = new Set(
      parseDockerfile(this.#dockerfile, { platform, ...parameters }).stages.flatMap(
        ({ base, platform: own }) =>
          base.kind === 'image' && own === undefined ? [formatReference(base.reference)] : [],
      ),
    );
    for (const [reference, pin] of Object.entries(unedited?.pins ?? {})) {
      if (!bases.has(reference)) continue;
      await this.#machines.check(parseReference(pin), platform, { source: this.#options.registry, signal });
    }
  }

  async #watch(ref: string, signal: AbortSignal, onProgress: BuildOptions['onProgress']): Promise<void> {
    const seen = new Set<string>();
    let bytes = 0;
    for await (const { vertexes, logs } of watch(this.#client, ref, signal)) {
      const lines: string[] = [];
      for (const { digest, name, error } of vertexes) {
        // Steps that were stopped because another failed have an error too.
        if (error !== undefined && !error.includes('context canceled')) {
          this.#position.readVertex(name);
          this.#failure = error;
        }
        if (!seen.has(digest)) lines.push(...printableLines(name));
        seen.add(digest);
      }
      for (const log of logs) {
        // Counted before long lines are cut.
        bytes += log.bytes.length;
        lines.push(...printableLines(Buffer.from(log.bytes).toString('utf8')));
      }
      for (const text of lines) {
        onProgress?.({ type: 'build-log', text });
      }
      const limit = this.#options.maxLogBytes ?? MAX_LOG_BYTES;
      if (bytes > limit) throw new CoreError('BUILD_LIMIT_EXCEEDED', `the log is longer than ${limit} bytes`);
    }
  }

  async #readBack(answer: ReadonlyMap<string, string>, signal: AbortSignal): Promise<BuiltImage> {
    const { target, platform } = this.#request;
    const digest = answer.get('containerimage.digest');
    if (digest === undefined || !isDigest(digest)) {
      throw new CoreError('BUILD_FAILED', 'the daemon does not say what it built');
    }
    const { registry } = this.#options;
    const unnamed = { ...target, tag: undefined, digest };
    const pushed = await resolveImage(unnamed, { source: registry, platform, signal });
    const bases = Object.values(this.#request.unedited?.pins ?? {}).map(parseReference);
    await this.#secrets.check(pushed, bases, { registry, signal });
    return claimName(this.#request, { registry, signal }, async () => {
      const { bytes, descriptor } = await registry.fetchManifest(
        { ...unnamed, digest: pushed.manifest.digest },
        { signal },
      );
      await registry.pushManifest(
        { ...target, digest: undefined },
        { bytes, mediaType: descriptor.mediaType },
        { signal },
      );
      const { version } = await describe(this.#client, signal);
      const builtBy = { name: 'BuildKit', version };
      return { ...toBuiltImage({ ...target, digest: undefined }, pushed), builtBy };
    });
  }
}

function identifierOf(reference: string): string {
  return `docker-image://${reference}`;
}

function isPinned(dockerfile: string): boolean {
  const { syntax } = parseDockerfile(dockerfile);
  return syntax !== undefined && /@sha256:[0-9a-f]{64}$/.test(syntax.text);
}
