// Where content trust meets: a notary server, a registry, and the keys and programs of those who write and read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, parseReference, RegistryClient } from '../../packages/registry/src/index.ts';
import { pushTestImage, startRegistry } from '../../packages/registry/src/testing/index.ts';
import { createKeyStore, type KeyStore, type NotaryServer } from '../../packages/trust/src/index.ts';
import { createDockerConfig, type NotaryService } from '../services.ts';
import { docker, run } from './program.ts';

/** A notary with what its clients need; all writers share the keys below `config`. */
export interface Place {
  readonly registry: string;
  readonly server: NotaryServer;
  readonly directory: string;
  /** DOCKER_CONFIG of the writers. */
  readonly config: string;
  readonly client: RegistryClient;
  readonly notary: Pick<NotaryService, 'url' | 'host' | 'ca'>;
}

/** A signed name: `<registry>/<repository>` and a tag. */
export interface Tag {
  readonly collection: string;
  readonly tag: string;
}

const ROOT = 'root passphrase';
const REPOSITORY = 'repository passphrase';

/** Sets a place up, works in it, and clears it away. */
export async function inPlace(notary: Place['notary'], work: (place: Place) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-interop-'));
  try {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    writeFileSync(join(directory, 'ca.crt'), notary.ca);
    const { url, ca } = notary;
    const config = createDockerConfig(directory, notary);
    await work({ registry: registry.host, server: { url, ca }, directory, config, client, notary });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Puts an image of its own below each tag. */
export async function pushImages(place: Place, collection: string, tags: readonly string[]): Promise<void> {
  for (const tag of tags) {
    const layers = [[{ path: tag, content: collection }]];
    await pushTestImage(place.client, parseReference(`${collection}:${tag}`), { layers });
  }
}

/** What the registry holds for a tag: docker pushes an image again, in its own form, when it signs it. */
export async function pushedAs(place: Place, { collection, tag }: Tag): Promise<Descriptor> {
  return place.client.resolve(parseReference(`${collection}:${tag}`));
}

/** The home of a reader that has never seen a collection. */
export function freshHome(place: Place): string {
  const directory = mkdtempSync(join(place.directory, 'reader-'));
  createDockerConfig(directory, place.notary);
  mkdirSync(join(directory, 'state'));
  return directory;
}

/** The keys all writers share, as imagevet opens them. */
export function keysOf(place: Place): KeyStore {
  const passphrase = { root: ROOT, targets: REPOSITORY, snapshot: REPOSITORY, delegation: REPOSITORY };
  return createKeyStore({ directory: join(place.config, 'trust'), passphrase });
}

const notaryPassphrases = {
  NOTARY_ROOT_PASSPHRASE: ROOT,
  NOTARY_TARGETS_PASSPHRASE: REPOSITORY,
  NOTARY_SNAPSHOT_PASSPHRASE: REPOSITORY,
  NOTARY_DELEGATION_PASSPHRASE: REPOSITORY,
};

/** Runs notary on a docker configuration's trust directory, by default the writers'. */
export async function notaryIn(place: Place, config: string, ...args: readonly string[]): Promise<string> {
  const server = ['-s', place.notary.url, '--tlscacert', join(place.directory, 'ca.crt')];
  const own = [...server, '-d', join(config, 'trust'), ...args];
  // It asks before it replaces a root key, whatever is set.
  return run('notary', own, { env: notaryPassphrases, input: 'yes\n' });
}

/** Runs docker with a configuration, with content trust on or off. */
export async function dockerIn(
  place: Place,
  config: string,
  trust: boolean,
  ...args: readonly string[]
): Promise<string> {
  const env = {
    DOCKER_CONFIG: config,
    DOCKER_CONTENT_TRUST: trust ? '1' : '0',
    DOCKER_CONTENT_TRUST_SERVER: place.notary.url,
    DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: ROOT,
    DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: REPOSITORY,
  };
  return docker(args, { env });
}
