// Who verifies what whom signed: imagevet, notary and the docker CLI write, and the same three read, against the real
// notary-server and against ours. A reader must accept a signed tag, and refuse it once it is revoked while it still
// accepts the other one.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, parseReference, RegistryClient } from '../../packages/registry/src/index.ts';
import { pushTestImage, startRegistry } from '../../packages/registry/src/testing/index.ts';
import {
  createKeyStore,
  listTrusted,
  type NotaryServer,
  resolveTrusted,
  signTags,
  TrustError,
  TrustedCollection,
} from '../../packages/trust/src/index.ts';
import { startNotary } from '../../packages/trust/src/testing/index.ts';
import { createDockerConfig, findProgram, type NotaryService, startNotaryServer } from '../services.ts';
import { Absent, Matrix, startOrAbsent } from './matrix.ts';
import { docker, expectSame, run } from './program.ts';

/** A notary with what its clients need; all three share the keys below `config`. */
interface Place {
  readonly registry: string;
  readonly server: NotaryServer;
  readonly url: string;
  readonly caFile: string;
  readonly directory: string;
  /** DOCKER_CONFIG of the writers. */
  readonly config: string;
  readonly client: RegistryClient;
  readonly notary: Pick<NotaryService, 'host' | 'ca'>;
}

/** A signed name: `<registry>/<repository>` and a tag. */
interface Tag {
  readonly collection: string;
  readonly tag: string;
}

interface Writer {
  readonly name: string;
  /** Signs both tags of a collection that does not exist yet. */
  sign(place: Place, collection: string, tags: readonly string[]): Promise<void>;
  revoke(place: Place, subject: Tag): Promise<void>;
}

interface Reader {
  readonly name: string;
  /** The digest that is signed for a tag; `undefined` when the tag is not signed. Any other refusal throws. */
  read(place: Place, subject: Tag): Promise<string | undefined>;
}

const ROOT = 'root passphrase';
const REPOSITORY = 'repository passphrase';

/** Runs the suite `notary`. */
export async function notary(): Promise<readonly Matrix[]> {
  const matrices: Matrix[] = [];
  for (const [name, start] of servers) {
    const matrix = new Matrix(
      `notary over ${name}`,
      readers.map((reader) => reader.name),
    );
    matrices.push(matrix);
    const started = await startOrAbsent(start);
    if (started instanceof Absent) {
      for (const writer of writers)
        for (const reader of readers) {
          await matrix.check(`${writer.name} signs`, reader.name, () => Promise.reject(started));
        }
      continue;
    }
    try {
      await meetAll(started, matrix);
    } finally {
      await started.close();
    }
  }
  return matrices;
}

async function meetAll(server: StartedServer, matrix: Matrix): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-interop-'));
  const { url, ca, host } = server;
  try {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const caFile = join(directory, 'ca.crt');
    writeFileSync(caFile, ca);
    const config = createDockerConfig(directory, { host, ca });
    const place: Place = {
      ...{ registry: registry.host, server: { url, ca }, url, caFile, directory, config, client },
      notary: { host, ca },
    };
    for (const writer of writers) await meet(writer, place, matrix);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function meet(writer: Writer, place: Place, matrix: Matrix): Promise<void> {
  const collection = `${place.registry}/interop/${writer.name.replace(/\W/g, '')}`;
  const signed = { collection, tag: 'signed' };
  const revoked = { collection, tag: 'revoked' };
  for (const { tag } of [signed, revoked]) {
    await pushTestImage(place.client, parseReference(`${collection}:${tag}`), {
      layers: [[{ path: tag, content: collection }]],
    });
  }
  const signing = settled(writer.sign(place, collection, [signed.tag, revoked.tag]));
  for (const reader of readers) {
    await matrix.check(`${writer.name} signs`, reader.name, async () => {
      await signing();
      for (const subject of [signed, revoked]) {
        expectSame(subject.tag, await reader.read(place, subject), (await pushedAs(place, subject)).digest);
      }
    });
  }
  const revoking = settled(signing().then(() => writer.revoke(place, revoked)));
  for (const reader of readers) {
    await matrix.check(`${writer.name} revokes`, reader.name, async () => {
      await revoking();
      expectSame('the revoked tag', await reader.read(place, revoked), undefined);
      expectSame('the other tag', await reader.read(place, signed), (await pushedAs(place, signed)).digest);
    });
  }
}

/** A promise to wait for more than once, whose failure each waiter hears and nobody else. */
function settled(work: Promise<void>): () => Promise<void> {
  work.catch(() => {});
  return () => work;
}

/** What the registry holds for a tag: docker pushes an image again, in its own form, when it signs it. */
async function pushedAs(place: Place, { collection, tag }: Tag): Promise<Descriptor> {
  return place.client.resolve(parseReference(`${collection}:${tag}`));
}

interface StartedServer extends Pick<NotaryService, 'url' | 'host' | 'ca'> {
  close(): Promise<void>;
}

const servers: readonly (readonly [name: string, start: () => Promise<StartedServer>])[] = [
  [
    'in-process notary',
    async () => {
      const { url, host, ca = '', close } = await startNotary({ tls: true });
      return { url, host, ca, close };
    },
  ],
  [
    'notary-server',
    async () => {
      if (findProgram('notary-server') === undefined) throw new Absent('notary-server is not installed');
      return startNotaryServer();
    },
  ],
];

const imagevet = {
  name: 'imagevet',
  async sign(place: Place, collection: string, tags: readonly string[]): Promise<void> {
    const targets = await Promise.all(
      tags.map(async (tag) => ({ tag, ...(await pushedAs(place, { collection, tag })) })),
    );
    await signTags({ collection, targets, server: place.server, keys: keysOf(place) });
  },
  async revoke(place: Place, { collection, tag }: Tag): Promise<void> {
    const options = { server: place.server, keys: keysOf(place) };
    await new TrustedCollection(collection, options).removeTarget(tag).publish();
  },
  async read(place: Place, subject: Tag): Promise<string | undefined> {
    const options = { server: place.server, root: { firstUse: true } } as const;
    const listed = await listTrusted({ collection: subject.collection }, options);
    try {
      const { digest } = await resolveTrusted(subject, options);
      expectSame('list', listed.find(({ tag }) => tag === subject.tag)?.digest, digest);
      return digest;
    } catch (error) {
      if (!(error instanceof TrustError) || error.code !== 'TAG_NOT_SIGNED') throw error;
      return undefined;
    }
  },
};

const notaryClient = {
  name: 'notary',
  async sign(place: Place, collection: string, tags: readonly string[]): Promise<void> {
    await notaryIn(place, trustDirectory(place), 'init', collection, '-p');
    for (const tag of tags) {
      const { digest, size } = await pushedAs(place, { collection, tag });
      const target = [tag, `${size}`, '--sha256', digest.slice('sha256:'.length)];
      await notaryIn(place, trustDirectory(place), 'addhash', collection, ...target, '-p');
    }
  },
  async revoke(place: Place, { collection, tag }: Tag): Promise<void> {
    await notaryIn(place, trustDirectory(place), 'remove', collection, tag, '-p');
  },
  async read(place: Place, { collection, tag }: Tag): Promise<string | undefined> {
    const listed = await notaryIn(place, freshDirectory(place), 'list', collection);
    const row = listed.split('\n').find((line) => line.trim().split(/\s+/)[0] === tag);
    return row === undefined ? undefined : `sha256:${row.trim().split(/\s+/)[1]}`;
  },
};

const dockerCli = {
  name: 'docker',
  async sign(place: Place, collection: string, tags: readonly string[]): Promise<void> {
    for (const tag of tags) {
      const reference = `${collection}:${tag}`;
      try {
        await dockerIn(place.config, place, false, 'pull', reference);
        await dockerIn(place.config, place, true, 'push', reference);
      } finally {
        await docker(['image', 'rm', '--force', reference]).catch(() => {});
      }
    }
  },
  async revoke(place: Place, { collection, tag }: Tag): Promise<void> {
    await dockerIn(place.config, place, true, 'trust', 'revoke', '--yes', `${collection}:${tag}`);
  },
  async read(place: Place, { collection, tag }: Tag): Promise<string | undefined> {
    const config = createDockerConfig(freshDirectory(place), place.notary);
    const reference = `${collection}:${tag}`;
    try {
      const printed = await dockerIn(config, place, true, 'pull', reference);
      return /^Digest: (sha256:[0-9a-f]{64})$/m.exec(printed)?.[1];
    } catch (error) {
      if (error instanceof Error && error.message.includes(`No valid trust data for ${tag}`))
        return undefined;
      throw error;
    } finally {
      await docker(['image', 'rm', '--force', reference]).catch(() => {});
    }
  },
};

const writers: readonly Writer[] = [imagevet, notaryClient, dockerCli];
const readers: readonly Reader[] = [imagevet, notaryClient, dockerCli];

const trustDirectory = (place: Place) => join(place.config, 'trust');

/** A reader that has never seen the collection. */
function freshDirectory(place: Place): string {
  const directory = mkdtempSync(join(place.directory, 'reader-'));
  mkdirSync(join(directory, 'docker'));
  return directory;
}

function keysOf(place: Place) {
  const passphrase = { root: ROOT, targets: REPOSITORY, snapshot: REPOSITORY, delegation: REPOSITORY };
  return createKeyStore({ directory: trustDirectory(place), passphrase });
}

async function notaryIn(place: Place, trust: string, ...args: readonly string[]): Promise<string> {
  return run('notary', ['-s', place.url, '--tlscacert', place.caFile, '-d', trust, ...args], {
    env: {
      NOTARY_ROOT_PASSPHRASE: ROOT,
      NOTARY_TARGETS_PASSPHRASE: REPOSITORY,
      NOTARY_SNAPSHOT_PASSPHRASE: REPOSITORY,
      NOTARY_DELEGATION_PASSPHRASE: REPOSITORY,
    },
  });
}

async function dockerIn(
  config: string,
  place: Place,
  trust: boolean,
  ...args: readonly string[]
): Promise<string> {
  return docker(args, {
    env: {
      DOCKER_CONFIG: config,
      DOCKER_CONTENT_TRUST: trust ? '1' : '0',
      DOCKER_CONTENT_TRUST_SERVER: place.url,
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: ROOT,
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: REPOSITORY,
    },
  });
}
