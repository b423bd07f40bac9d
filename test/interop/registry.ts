// What we push the others pull, and what they push we pull, by digest and by the diffIDs of the layers.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  formatReference,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
  scanImage,
} from '../../packages/registry/src/index.ts';
import { pushTestImage, pushTestIndex, startRegistry } from '../../packages/registry/src/testing/index.ts';
import { findProgram, startDockerRegistry } from '../services.ts';
import { files } from './files.ts';
import { Absent, Matrix, PeerDefect, startOrAbsent } from './matrix.ts';
import { podmanEnvironment } from './podman.ts';
import { docker, expectSame, run } from './program.ts';
import { pushZstd } from './zstd-image.ts';

/** What a program says it holds or has pushed. */
interface Seen {
  readonly manifest?: string;
  readonly config?: string;
  readonly diffIds: readonly string[];
}

/** A program that pulls and pushes. `directory` is its own. */
interface Peer {
  readonly name: string;
  /** How the program fails at zstd in the versions that do not know it. */
  readonly failsAtZstd?: RegExp;
  pull(reference: string, directory: string): Promise<Seen>;
  /** Pushes what it pulled before under another name, in a form of its own. */
  push(from: string, to: string, directory: string): Promise<Seen>;
  /** As `push`, with layers in zstd; absent where the program cannot. */
  pushZstd?(from: string, to: string, directory: string): Promise<Seen>;
}

interface Host {
  readonly host: string;
  close(): Promise<void>;
}

const columns = [
  'pulls our image',
  'pulls our index',
  'pulls our zstd',
  'pushes to us',
  'pushes zstd to us',
] as const;

const hosts: readonly (readonly [name: string, start: () => Promise<Host>])[] = [
  ['in-process registry', startRegistry],
  [
    'docker-registry',
    async () => {
      if (findProgram('docker-registry') === undefined) throw new Absent('docker-registry is not installed');
      return startDockerRegistry();
    },
  ],
];

/** Runs the suite `registry`. */
export async function registry(): Promise<readonly Matrix[]> {
  const matrices: Matrix[] = [];
  for (const [name, start] of hosts) {
    const matrix = new Matrix(`registry over ${name}`, columns);
    matrices.push(matrix);
    const started = await startOrAbsent(start);
    if (started instanceof Absent) {
      for (const { name } of peers)
        for (const column of columns) await matrix.check(name, column, () => Promise.reject(started));
      continue;
    }
    try {
      for (const peer of peers) await meet(peer, started.host, start, matrix);
    } finally {
      await started.close();
    }
  }
  return [...matrices, await files()];
}

async function meet(peer: Peer, host: string, start: () => Promise<Host>, matrix: Matrix): Promise<void> {
  await using client = new RegistryClient();
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-interop-'));
  const named = (tag: string) => parseReference(`${host}/interop/${peer.name}:${tag}`);
  const check = (column: (typeof columns)[number], work: () => Promise<void>) =>
    matrix.check(peer.name, column, work);
  /** Reads what a program says it pushed, every layer against its digest and its diffID. */
  const pushed = async (seen: Seen, to: string, expected: ResolvedImage) => {
    const read = await resolveImage(parseReference(to), { source: client });
    if (seen.manifest !== undefined) expectSame('manifest', read.manifest.digest, seen.manifest);
    if (seen.config !== undefined) expectSame('config', read.config.digest, seen.config);
    expectSame('diffIDs', read.diffIds, expected.diffIds);
    return scanImage(read, { source: client });
  };
  const pulled = async (tag: string, expected: ResolvedImage) => {
    const seen = await peer.pull(formatReference(named(tag)), directory);
    if (seen.manifest !== undefined) expectSame('manifest', seen.manifest, expected.manifest.digest);
    if (seen.config !== undefined) expectSame('config', seen.config, expected.config.digest);
    expectSame('diffIDs', seen.diffIds, expected.diffIds);
  };
  try {
    const image = await pushTestImage(client, named('image'), { layers: layersOf(peer.name) });
    await check('pulls our image', () => pulled('image', image));
    await check('pulls our index', async () => {
      const arm64 = await pushTestImage(client, named('arm64'), {
        layers: [[{ path: 'arm64', content: peer.name }]],
        config: { architecture: 'arm64' },
      });
      const amd64 = await pushTestImage(client, named('amd64'), {
        layers: [[{ path: 'amd64', content: `${host} ${peer.name}` }]],
      });
      await pushTestIndex(client, named('index'), [arm64, amd64]);
      await pulled('index', amd64);
    });
    await check('pulls our zstd', async () => {
      const zstd = await pushZstd(client, named('zstd'));
      // What is compressed with zstd is what the config says it is; a program that cannot read it is at fault.
      const { layers } = await scanImage(zstd, { source: client });
      await pulled('zstd', zstd).catch((error: Error) => {
        if (peer.failsAtZstd?.test(error.message) !== true) throw error;
        throw new PeerDefect(`${error.message}; we read layer ${layers[0]?.diffId}`);
      });
    });
    const from = formatReference(named('image'));
    await check('pushes to us', async () => {
      const to = formatReference(named('pushed'));
      await pushed(await peer.push(from, to, directory), to, image);
    });
    const { pushZstd: push } = peer;
    if (push === undefined) return;
    await check('pushes zstd to us', async () => {
      // Elsewhere: what a registry has in gzip, containers/image does not send there again in zstd.
      const fresh = await start();
      try {
        const to = `${fresh.host}/interop/zstd:1`;
        const { layers } = await pushed(await push(from, to, directory), to, image);
        for (const { compression } of layers) expectSame('compression', compression, 'zstd');
      } finally {
        await fresh.close();
      }
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const layersOf = (seed: string) => [
  [{ path: 'etc/' }, { path: 'etc/motd', content: seed }, { path: 'etc/old', content: 'old' }],
  [
    { path: 'etc/.wh.old', content: '' },
    { path: 'etc/issue', content: 'two'.repeat(100_000) },
    { path: 'etc/link', type: 'symlink' as const, linkTarget: 'issue' },
  ],
];

const skopeo: Peer = {
  name: 'skopeo',
  async pull(reference, directory) {
    const file = join(directory, 'digest');
    const layout = `oci:${directory}/layout:${parseReference(reference).tag}`;
    await run('skopeo', [
      ...['copy', '--quiet', '--src-tls-verify=false', '--digestfile', file],
      ...[`docker://${reference}`, layout],
    ]);
    const config = JSON.parse(await run('skopeo', ['inspect', '--config', layout]));
    return { manifest: readFileSync(file, 'utf8').trim(), diffIds: config.rootfs.diff_ids };
  },
  async push(from, to, directory) {
    const file = join(directory, 'digest');
    const layout = `oci:${directory}/layout:${parseReference(from).tag}`;
    await run('skopeo', [
      ...['copy', '--quiet', '--dest-tls-verify=false', '--format', 'v2s2', '--digestfile', file],
      ...[layout, `docker://${to}`],
    ]);
    const config = JSON.parse(await run('skopeo', ['inspect', '--config', layout]));
    return { manifest: readFileSync(file, 'utf8').trim(), diffIds: config.rootfs.diff_ids };
  },
  pushZstd: skopeoPushesZstd,
};

/** skopeo compresses anew what is not compressed. */
async function skopeoPushesZstd(from: string, to: string, directory: string): Promise<Seen> {
  const file = join(directory, 'digest');
  const layout = `oci:${directory}/layout:${parseReference(from).tag}`;
  const plain = `dir:${directory}/plain`;
  await run('skopeo', ['copy', '--quiet', '--dest-decompress', layout, plain]);
  await run('skopeo', [
    ...['copy', '--quiet', '--dest-tls-verify=false', '--digestfile', file],
    ...['--format', 'oci', '--dest-compress', '--dest-compress-format', 'zstd', plain, `docker://${to}`],
  ]);
  const config = JSON.parse(await run('skopeo', ['inspect', '--config', layout]));
  return { manifest: readFileSync(file, 'utf8').trim(), diffIds: config.rootfs.diff_ids };
}

const dockerEngine: Peer = {
  name: 'docker',
  // Before Docker Engine 23.
  failsAtZstd: /failed to register layer: .*unexpected EOF/,
  async pull(reference) {
    try {
      await docker(['pull', '--quiet', reference]);
      return await inspectDocker(reference);
    } finally {
      await docker(['image', 'rm', '--force', reference]).catch(() => {});
    }
  },
  async push(from, to) {
    try {
      await docker(['pull', '--quiet', from]);
      await docker(['tag', from, to]);
      const printed = await docker(['push', to]);
      const manifest = /digest: (sha256:[0-9a-f]{64})/.exec(printed)?.[1];
      if (manifest === undefined) throw new Error(`docker push did not print a digest: ${printed}`);
      return { ...(await inspectDocker(to)), manifest };
    } finally {
      await docker(['image', 'rm', '--force', from, to]).catch(() => {});
    }
  },
};

async function inspectDocker(reference: string): Promise<Seen> {
  const [image] = JSON.parse(await docker(['image', 'inspect', reference]));
  return { config: image.Id, diffIds: image.RootFS.Layers };
}

const podman: Peer = {
  name: 'podman',
  async pull(reference, directory) {
    await podmanIn(directory, 'pull', '--quiet', '--tls-verify=false', reference);
    const [image] = JSON.parse(await podmanIn(directory, 'image', 'inspect', reference));
    return { config: `sha256:${image.Id}`, diffIds: image.RootFS.Layers };
  },
  push: (from, to, directory) => podmanPushes(from, to, directory),
  pushZstd: (from, to, directory) =>
    podmanPushes(from, to, directory, '--format', 'oci', '--compression-format', 'zstd'),
};

async function podmanPushes(
  from: string,
  to: string,
  directory: string,
  ...how: readonly string[]
): Promise<Seen> {
  const file = join(directory, 'digest');
  await podmanIn(directory, 'push', '--quiet', '--tls-verify=false', ...how, '--digestfile', file, from, to);
  const [image] = JSON.parse(await podmanIn(directory, 'image', 'inspect', from));
  return { manifest: readFileSync(file, 'utf8').trim(), diffIds: image.RootFS.Layers };
}

async function podmanIn(directory: string, ...args: readonly string[]): Promise<string> {
  return run('podman', args, { env: podmanEnvironment(directory) });
}

/** Of the newest crane; no Debian has it, so it is a peer where it is installed. */
const crane: Peer = {
  name: 'crane',
  // It validates gzip only.
  failsAtZstd: /gzip: invalid header/,
  async pull(reference, directory) {
    const one = ['--platform', 'linux/amd64', reference];
    await run('crane', ['validate', '--remote', reference]);
    await run('crane', ['pull', '--format', 'tarball', ...one, join(directory, 'crane.tar')]);
    const config = await run('crane', ['config', ...one]);
    const manifest = (await run('crane', ['digest', ...one])).trim();
    return { manifest, diffIds: JSON.parse(config).rootfs.diff_ids };
  },
  async push(from, to, directory) {
    const layout = join(directory, 'crane');
    await run('crane', ['pull', '--format', 'oci', from, layout]);
    await run('crane', ['push', layout, to]);
    const manifest = (await run('crane', ['digest', to])).trim();
    return { manifest, diffIds: JSON.parse(await run('crane', ['config', to])).rootfs.diff_ids };
  },
};

const peers: readonly Peer[] = [
  ...[skopeo, dockerEngine, podman],
  ...(findProgram('crane') === undefined ? [] : [crane]),
];
