// Images in files: the OCI layout we write the others read, and the layouts and docker-archives they write we read.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  copyImage,
  type Fetcher,
  openDockerArchive,
  openOciLayout,
  parseReference,
  RegistryClient,
  type ResolvedImage,
  resolveImage,
  scanImage,
} from '../../packages/registry/src/index.ts';
import { pushTestImage, startRegistry } from '../../packages/registry/src/testing/index.ts';
import { Matrix } from './matrix.ts';
import { podmanEnvironment } from './podman.ts';
import { docker, expectSame, run } from './program.ts';

const columns = ['reads our layout', 'we read its layout', 'we read its archive'] as const;
type Column = (typeof columns)[number];

/** An image in a registry and in our layout, and a folder to work in. */
interface Subject {
  readonly image: ResolvedImage;
  /** `<registry>/<repository>:<tag>` */
  readonly name: string;
  /** `oci:<directory>:<tag>` */
  readonly layout: string;
  readonly directory: string;
}

/** What each program can do; a pair that is not here does not exist. */
const peers: Readonly<Record<string, Partial<Record<Column, (subject: Subject) => Promise<void>>>>> = {
  skopeo: {
    async 'reads our layout'({ layout, image, directory }) {
      await run('skopeo', ['copy', '--quiet', layout, `dir:${directory}/skopeo-dir`]);
      const { Digest } = JSON.parse(await run('skopeo', ['inspect', `dir:${directory}/skopeo-dir`]));
      expectSame('manifest', Digest, image.manifest.digest);
    },
    async 'we read its layout'({ name, image, directory }) {
      const path = join(directory, 'skopeo-layout');
      await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${name}`, `oci:${path}:1`]);
      const read = await holds(await openOciLayout(path), name, image);
      expectSame('manifest', read.manifest.digest, image.manifest.digest);
    },
    async 'we read its archive'({ name, image, directory }) {
      const path = join(directory, 'skopeo.tar');
      const archive = `docker-archive:${path}:${name}`;
      await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${name}`, archive]);
      await holds(await openDockerArchive(path), name, image);
    },
  },
  docker: {
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
    const subject = { image, name, layout: `oci:${destination.directory}:1`, directory };
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
