// Images in files: the OCI layouts and docker-archives we write the others read, and those they write we read.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  copyImage,
  type Fetcher,
  openDockerArchive,
  openOciLayout,
  openSource,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
  scanImage,
  writeDockerArchive,
} from '../../packages/registry/src/index.ts';
import { pushTestImage, startRegistry } from '../../packages/registry/src/testing/index.ts';
import { type Containerd, startContainerd } from './containerd.ts';
import { Matrix } from './matrix.ts';
import { podmanEnvironment } from './podman.ts';
import { docker, expectSame, run } from './program.ts';
import { pushZstd } from './zstd-image.ts';

const columns = [
  'reads our layout',
  'reads our archive',
  'reads our zstd archive',
  'we read its layout',
  'we read its zstd layout',
  'we read its archive',
] as const;
type Column = (typeof columns)[number];

/** An image in a registry and in our layout, and a folder to work in. */
interface Subject {
  readonly image: ResolvedImage;
  /** `<registry>/<repository>:<tag>` */
  readonly name: string;
  /** `oci:<directory>:<tag>` */
  readonly layout: string;
  /** Two docker-archives of one image each, and the names those have there. */
  readonly archive: Archive;
  readonly zstdArchive: Archive;
  readonly directory: string;
}

interface Archive {
  readonly file: string;
  readonly name: string;
  readonly image: ResolvedImage;
}

/** What each program can do; a pair that is not here does not exist. */
const peers: Readonly<Record<string, Partial<Record<Column, (subject: Subject) => Promise<void>>>>> = {
  skopeo: {
    async 'reads our layout'({ layout, image, directory }) {
      await run('skopeo', ['copy', '--quiet', layout, `dir:${directory}/skopeo-dir`]);
      const { Digest } = JSON.parse(await run('skopeo', ['inspect', `dir:${directory}/skopeo-dir`]));
      expectSame('manifest', Digest, image.manifest.digest);
    },
    'reads our archive': ({ archive, directory }) => skopeoReads(archive, directory),
    'reads our zstd archive': ({ zstdArchive, directory }) => skopeoReads(zstdArchive, directory),
    async 'we read its layout'({ name, image, directory }) {
      const path = join(directory, 'skopeo-layout');
      await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${name}`, `oci:${path}:1`]);
      const read = await holds(await openOciLayout(path), name, image);
      expectSame('manifest', read.manifest.digest, image.manifest.digest);
    },
    async 'we read its zstd layout'({ name, image, directory }) {
      const [plain, path] = [`dir:${directory}/skopeo-plain`, join(directory, 'skopeo-zstd')];
      const from = ['--src-tls-verify=false', '--dest-decompress', `docker://${name}`, plain];
      await run('skopeo', ['copy', '--quiet', ...from]);
      const how = ['--dest-compress', '--dest-compress-format', 'zstd', '--format', 'oci'];
      await run('skopeo', ['copy', '--quiet', ...how, plain, `oci:${path}:1`]);
      await using read = await openSource(`oci:${path}:1`);
      const seen = await resolveImage(read.reference, { source: read.source });
      expectSame('diffIDs', seen.diffIds, image.diffIds);
      const { layers } = await scanImage(seen, { source: read.source });
      for (const { compression } of layers) expectSame('compression', compression, 'zstd');
    },
    async 'we read its archive'({ name, image, directory }) {
      const path = join(directory, 'skopeo.tar');
      const archive = `docker-archive:${path}:${name}`;
      await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${name}`, archive]);
      await holds(await openDockerArchive(path), name, image);
    },
  },
  docker: {
    'reads our archive': ({ archive }) => dockerReads(archive),
    'reads our zstd archive': ({ zstdArchive }) => dockerReads(zstdArchive),
    async 'we read its archive'({ name, image, directory }) {
      const path = join(directory, 'docker.tar');
      try {
        await docker(['pull', '--quiet', name]);
        await docker(['save', '--output', path, name]);
      } finally {
        await docker(['image', 'rm', '--force', name]).catch(() => {});
      }
      await holds(await openDockerArchive(path), name, image);
    },
  },
  podman: {
    async 'reads our layout'({ layout, image, directory }) {
      const id = await podman(directory, 'pull', '--quiet', layout);
      expectSame('config', `sha256:${id.trim()}`, image.config.digest);
    },
    'reads our archive': ({ archive, directory }) => podmanReads(archive, directory),
    'reads our zstd archive': ({ zstdArchive, directory }) => podmanReads(zstdArchive, directory),
    async 'we read its layout'({ name, image, directory }) {
      const path = join(directory, 'podman-layout');
      await podman(directory, 'pull', '--quiet', '--tls-verify=false', name);
      await podman(directory, 'push', '--quiet', name, `oci:${path}:1`);
      await holds(await openOciLayout(path), name, image);
    },
    async 'we read its archive'({ name, image, directory }) {
      const path = join(directory, 'podman.tar');
      await podman(directory, 'pull', '--quiet', '--tls-verify=false', name);
      await podman(directory, 'save', '--quiet', '--output', path, name);
      await holds(await openDockerArchive(path), name, image);
    },
  },
  containerd: {
    'reads our archive': ({ archive }) =>
      withContainerd((containerd) => containerdReads(archive, containerd)),
    'reads our zstd archive': ({ zstdArchive }) =>
      withContainerd((containerd) => containerdReads(zstdArchive, containerd)),
    async 'we read its archive'({ archive, image, directory }) {
      const path = join(directory, 'containerd.tar');
      await withContainerd(async (containerd) => {
        await containerdReads(archive, containerd);
        await containerd.ctr('images', 'export', path, `docker.io/${archive.name}`);
      });
      const read = await holds(await openDockerArchive(path), archive.name, image);
      expectSame('manifest', read.manifest.digest, image.manifest.digest);
    },
  },
};

/** Fills the table of images in files. */
export async function files(): Promise<Matrix> {
  const matrix = new Matrix('registry in files', columns);
  // podman makes an image name of a layout's path, which must be lower case.
  const directory = join(tmpdir(), `imagevet-interop-${randomBytes(8).toString('hex')}`);
  mkdirSync(directory, { mode: 0o700 });
  try {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const name = `${registry.host}/interop/files:1`;
    const reference = parseReference(name);
    const image = await pushTestImage(client, reference, {
      layers: [
        [{ path: 'etc/' }, { path: 'etc/motd', content: name }],
        [{ path: 'etc/issue', content: 'two'.repeat(100_000) }],
      ],
    });
    const destination = await openOciLayout(join(directory, 'ours'), { create: true });
    await copyImage(reference, reference, { source: client, destination });
    const layout = `oci:${destination.directory}:1`;
    const archive = await writeArchive(directory, client, image);
    const zstd = await pushZstd(client, parseReference(`${registry.host}/interop/zstd:1`));
    const zstdArchive = await writeArchive(directory, client, zstd);
    const subject = { image, name, layout, archive, zstdArchive, directory };
    for (const [peer, abilities] of Object.entries(peers)) {
      for (const column of columns) {
        const ability = abilities[column];
        if (ability !== undefined) await matrix.check(peer, column, () => ability(subject));
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return matrix;
}

/** Writes a docker-archive of one image, under a name no other run uses. */
async function writeArchive(directory: string, source: Fetcher, image: ResolvedImage): Promise<Archive> {
  const name = `imagevet-interop/${randomBytes(6).toString('hex')}:1`;
  const file = join(directory, `${name.replaceAll(/\W/g, '-')}.tar`);
  await writeDockerArchive([{ source, reference: image.reference, names: [parseReference(name)] }], file);
  return { file, name, image };
}

async function skopeoReads({ file, name, image }: Archive, directory: string): Promise<void> {
  const path = join(directory, `skopeo-of-${image.manifest.digest.slice(-8)}`);
  await run('skopeo', ['copy', '--quiet', `docker-archive:${file}:${name}`, `oci:${path}:1`]);
  await using read = await openSource(`oci:${path}:1`);
  const seen = await resolveImage(read.reference, { source: read.source });
  // skopeo writes the config anew.
  expectSame('diffIDs', seen.diffIds, image.diffIds);
  await scanImage(seen, { source: read.source });
}

async function dockerReads({ file, name, image }: Archive): Promise<void> {
  try {
    await docker(['load', '--quiet', '--input', file]);
    const [seen] = JSON.parse(await docker(['image', 'inspect', name]));
    expectSame('config', seen.Id, image.config.digest);
    expectSame('diffIDs', seen.RootFS.Layers, image.diffIds);
  } finally {
    await docker(['image', 'rm', '--force', name]).catch(() => {});
  }
}

async function withContainerd(work: (containerd: Containerd) => Promise<void>): Promise<void> {
  const containerd = await startContainerd();
  try {
    await work(containerd);
  } finally {
    await containerd.close();
  }
}

/** It reads the archive as an OCI layout, so the manifest stays what it was. */
async function containerdReads({ file, name, image }: Archive, { ctr }: Containerd): Promise<void> {
  await ctr('images', 'import', '--no-unpack', file);
  const listed = await ctr('images', 'ls', `name==docker.io/${name}`);
  expectSame('manifest', /sha256:[0-9a-f]{64}/.exec(listed)?.[0], image.manifest.digest);
}

async function podmanReads({ file, name, image }: Archive, directory: string): Promise<void> {
  await podman(directory, 'load', '--quiet', '--input', file);
  const [seen] = JSON.parse(await podman(directory, 'image', 'inspect', `docker.io/${name}`));
  expectSame('config', `sha256:${seen.Id}`, image.config.digest);
  expectSame('diffIDs', seen.RootFS.Layers, image.diffIds);
}

/** Reads every layer and compares it with the original, whatever form it has here. */
async function holds(source: Fetcher, name: string, original: ResolvedImage): Promise<ResolvedImage> {
  const image = await resolveImage(parseReference(name), { source });
  expectSame('config', image.config.digest, original.config.digest);
  expectSame('diffIDs', image.diffIds, original.diffIds);
  await scanImage(image, { source });
  return image;
}

async function podman(directory: string, ...args: readonly string[]): Promise<string> {
  return run('podman', args, { env: podmanEnvironment(directory) });
}
