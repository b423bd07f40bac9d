// A family of images built by each engine through our builder, pushed, and read back: every layer against its digest
// and diffID, and the files it must hold. A child is built on its parent by digest.
import {
  type Builder,
  type BuildRequest,
  dockerEngineBuilder,
  type SourceEntry,
} from '../../packages/core/src/index.ts';
import {
  formatReference,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
  scanImage,
} from '../../packages/registry/src/index.ts';
import { makeTar, startRegistry } from '../../packages/registry/src/testing/index.ts';
import { dockerHost, findProgram, startDockerRegistry } from '../services.ts';
import { Absent, Matrix, startOrAbsent } from './matrix.ts';
import { startPodman } from './podman.ts';
import { docker } from './program.ts';

const columns = ['from scratch', 'child by digest', 'stages', 'RUN'] as const;

interface Engine {
  readonly name: string;
  /** Whether the Dockerfiles use what only BuildKit knows. */
  readonly buildKit: boolean;
  start(registry: string): Promise<{ readonly dockerHost: string; close(): Promise<void> }>;
}

const startDocker: Engine['start'] = async () => {
  if (dockerHost === undefined) throw new Absent('no Docker Engine');
  await docker(['version']);
  return { dockerHost, close: async () => {} };
};

const engines: readonly Engine[] = [
  { name: 'Docker Engine, classic', buildKit: false, start: startDocker },
  { name: 'Docker Engine, BuildKit', buildKit: true, start: startDocker },
  { name: 'Podman', buildKit: false, start: async (registry) => startPodman([registry]) },
  { name: 'Podman, BuildKit syntax', buildKit: true, start: async (registry) => startPodman([registry]) },
];

/** Runs the suite `rebuild`. */
export async function rebuild(): Promise<readonly Matrix[]> {
  const matrix = new Matrix('rebuild', columns);
  const started = findProgram('docker-registry') === undefined ? startRegistry() : startDockerRegistry();
  const registry = await started;
  try {
    await using client = new RegistryClient();
    for (const engine of engines) {
      const running = await startOrAbsent(() => engine.start(registry.host));
      if (running instanceof Absent) {
        for (const column of columns) await matrix.check(engine.name, column, () => Promise.reject(running));
        continue;
      }
      const family = new Family(engine, running.dockerHost, registry.host, client);
      try {
        await family.build(matrix);
      } finally {
        await family.release();
        await running.close();
      }
    }
  } finally {
    await registry.close();
  }
  return [matrix];
}

/** An image as it was read back. */
interface Built {
  readonly image: ResolvedImage;
  /** `<registry>/<repository>@<digest>` */
  readonly name: string;
}

class Family {
  readonly #engine: Engine;
  readonly #builder: Builder;
  readonly #registry: string;
  readonly #client: RegistryClient;

  constructor(engine: Engine, dockerHost: string, registry: string, client: RegistryClient) {
    this.#engine = engine;
    this.#builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
    this.#registry = registry;
    this.#client = client;
  }

  async build(matrix: Matrix): Promise<void> {
    const { name, buildKit } = this.#engine;
    const check = (column: (typeof columns)[number], work: (signal: AbortSignal) => Promise<void>) =>
      matrix.check(name, column, work);
    const copy = buildKit ? 'COPY --chmod=0640' : 'COPY';
    const mode = buildKit ? 0o640 : 0o644;
    let base: Built | undefined;
    let child: Built | undefined;

    await check('from scratch', async (signal) => {
      const rootfs = await makeTar([
        { path: 'etc/', mode: 0o755 },
        { path: 'etc/os-release', content: 'ID=interop\n' },
      ]);
      const dockerfile = `FROM scratch\nADD rootfs.tar /\n${copy} motd /etc/motd\nCMD ["/none"]\n`;
      const context = [file('rootfs.tar', rootfs), file('motd', name)];
      base = await this.#make('base', dockerfile, context, signal);
      await this.#holds(base, { 'etc/os-release': 0o644, 'etc/motd': mode });
    });

    await check('child by digest', async (signal) => {
      if (base === undefined) throw new Error('its base was not built');
      const dockerfile = `FROM ${base.name}\n${copy} lib /lib/name\nENV A=1\n`;
      child = await this.#make('child', dockerfile, [file('lib', 'lib')], signal);
      standsOn(child, base);
      await this.#holds(child, { 'etc/os-release': 0o644, 'lib/name': mode });
    });

    await check('stages', async (signal) => {
      if (base === undefined || child === undefined) throw new Error('its bases were not built');
      const dockerfile = [
        `FROM ${child.name} AS tool`,
        `FROM ${base.name}`,
        'COPY --from=tool /lib/name /tool',
        `${copy} own /own`,
        '',
      ].join('\n');
      const top = await this.#make('top', dockerfile, [file('own', 'own')], signal);
      standsOn(top, base);
      await this.#holds(top, { 'etc/os-release': 0o644, tool: mode, own: mode });
    });

    await check('RUN', async (signal) => {
      const debian = await this.#debian();
      const mount = buildKit ? '--mount=type=tmpfs,target=/mnt/scratch ' : '';
      const dockerfile = `FROM ${debian.name}\nRUN ${mount}echo "$(id -u)" > /made && chmod 0600 /made\n`;
      const made = await this.#make('run', dockerfile, [], signal);
      standsOn(made, debian);
      await this.#holds(made, { made: 0o600, 'etc/debian_version': 0o644 });
    });
  }

  /** Leaves nothing in the engine. */
  async release(): Promise<void> {
    await this.#builder.release?.();
  }

  async #make(
    repository: string,
    dockerfile: string,
    context: readonly SourceEntry[],
    signal: AbortSignal,
  ): Promise<Built> {
    const target = parseReference(`${this.#registry}/interop/${repository}:${Date.now().toString(36)}`);
    const request: BuildRequest = {
      ...{ dockerfile, context, target },
      platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' },
    };
    const { reference } = await this.#builder.build(request, { signal });
    return this.#read(formatReference(reference));
  }

  async #read(name: string): Promise<Built> {
    const image = await resolveImage(parseReference(name), { source: this.#client });
    const { registry, repository } = image.reference;
    return { image, name: `${registry}/${repository}@${image.manifest.digest}` };
  }

  /** Reads every layer and looks for files with these permissions. */
  async #holds({ image }: Built, files: Readonly<Record<string, number>>): Promise<void> {
    const { filesystem } = await scanImage(image, { source: this.#client });
    for (const [path, mode] of Object.entries(files)) {
      const entry = filesystem.get(path);
      if (entry === undefined) throw new Error(`/${path} is not in the image`);
      if (entry.mode !== mode) throw new Error(`/${path}: expected mode ${mode}, received ${entry.mode}`);
    }
  }

  /** A distribution to run commands in, by digest. */
  async #debian(): Promise<Built> {
    const name = `${this.#registry}/interop/debian:1`;
    try {
      await docker(['tag', 'local/debian:bookworm-slim', name]).catch((error: unknown) => {
        throw error instanceof Absent ? error : new Absent('the engine has no local/debian:bookworm-slim');
      });
      await docker(['push', '--quiet', name]);
    } finally {
      await docker(['image', 'rm', name]).catch(() => {});
    }
    return this.#read(name);
  }
}

function standsOn(child: Built, base: Built): void {
  if (base.image.diffIds.every((diffId, index) => child.image.diffIds[index] === diffId)) return;
  throw new Error(`built on other layers than those of ${base.name}`);
}

function file(path: string, content: string | Uint8Array): SourceEntry {
  return { path, type: 'file', content: Buffer.from(content) };
}
