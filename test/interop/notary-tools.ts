// What each of the three does with a collection, in its own words.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BaseRole,
  canonicalKeyId,
  createMemoryRotationJournal,
  createTrustState,
  listTrusted,
  NotaryClient,
  parsePublicKey,
  resolveTrusted,
  rotateKey,
  type SnapshotKeyHolder,
  signTags,
  TrustError,
  TrustedCollection,
} from '../../packages/trust/src/index.ts';
import { dockerIn, freshHome, keysOf, notaryIn, type Place, pushedAs, type Tag } from './notary-place.ts';
import { docker, expectSame } from './program.ts';

/** Why a reader refuses a collection. */
export type Refusal = 'gone' | 'expired' | 'no answer';

/** A program that signs and verifies. */
export interface Tool {
  readonly name: string;
  /** Sets a collection up without signing a tag. */
  init(place: Place, collection: string): Promise<void>;
  /** Signs tags, of a collection that may not exist yet. */
  sign(place: Place, collection: string, tags: readonly string[]): Promise<void>;
  revoke(place: Place, subject: Tag): Promise<void>;
  /** Lets signers sign for the releases, with new keys among those of the writers. */
  addSigners(place: Place, collection: string, names: readonly string[]): Promise<void>;
  removeSigner(place: Place, collection: string, name: string): Promise<void>;
  /** Signs a tag as every signer whose key is here. */
  signAsSigners(place: Place, subject: Tag): Promise<void>;
  /** Absent where the program has no command for it. */
  rotate?(place: Place, collection: string, role: BaseRole, holder: SnapshotKeyHolder): Promise<void>;
  delete?(place: Place, collection: string): Promise<void>;
  /**
   * The digest that is signed for a tag; `undefined` when the tag is not signed. Any other refusal throws.
   *
   * @param home - Where the reader remembers what it saw; a fresh one by default.
   */
  read(place: Place, subject: Tag, home?: string): Promise<string | undefined>;
  /** How its error message tells a refusal. */
  readonly refusals: Readonly<Record<Refusal, RegExp>>;
  /** The delegations a reader is shown, but for `targets/releases`. */
  signers(place: Place, collection: string): Promise<readonly string[]>;
}

const imagevet: Tool = {
  name: 'imagevet',
  async init(place, collection) {
    await draftOf(place, collection).witness('targets').publish();
  },
  async sign(place, collection, tags) {
    const targets = await Promise.all(
      tags.map(async (tag) => ({ tag, ...(await pushedAs(place, { collection, tag })) })),
    );
    await signTags({ collection, targets, server: place.server, keys: keysOf(place) });
  },
  async revoke(place, { collection, tag }) {
    await draftOf(place, collection).removeTarget(tag).publish();
  },
  async addSigners(place, collection, names) {
    const draft = draftOf(place, collection);
    for (const name of names)
      draft.addSigner(name, [(await keysOf(place).generate({ role: name })).publicKey]);
    await draft.publish();
  },
  async removeSigner(place, collection, name) {
    await draftOf(place, collection).removeSigner(name).publish();
  },
  async signAsSigners(place, { collection, tag }) {
    await imagevet.sign(place, collection, [tag]);
  },
  async rotate(place, collection, role, holder) {
    const options = { server: place.server, keys: keysOf(place), journal: createMemoryRotationJournal() };
    await rotateKey(collection, role, { ...options, holder });
  },
  async delete(place, collection) {
    const client = new NotaryClient(place.server);
    await client.deleteCollection(collection).finally(() => client.close());
  },
  async read(place, subject, home = freshHome(place)) {
    const state = createTrustState(join(home, 'state'));
    const options = { server: place.server, root: { firstUse: true }, state } as const;
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
  refusals: {
    gone: /^NOT_SIGNED/,
    expired: /^EXPIRED/,
    'no answer': /^UNREACHABLE.* 500 /,
  },
  async signers(place, collection) {
    const verified = await draftOf(place, collection).refresh();
    const targets = await verified?.role('targets');
    return signersAmong((targets?.file.signed.delegations.roles ?? []).map(({ name }) => name));
  },
};

const notary: Tool = {
  name: 'notary',
  async init(place, collection) {
    await notaryIn(place, place.config, 'init', collection, '-p');
  },
  async sign(place, collection, tags) {
    // For a collection that exists, init would make a root of its own.
    if ((await draftOf(place, collection).refresh()) === undefined) await notary.init(place, collection);
    for (const tag of tags) await addHash(place, { collection, tag });
  },
  async revoke(place, { collection, tag }) {
    await notaryIn(place, place.config, 'remove', collection, tag, '-p');
  },
  async addSigners(place, collection, names) {
    // The releases can be delegated only where the server signs the snapshot: a signer has no snapshot key.
    await notaryIn(place, place.config, 'key', 'rotate', collection, 'snapshot', '-r');
    for (const name of names) {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const file = signerFile(place, collection, name);
      writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }));
      writeFileSync(`${file}.key`, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      await notaryIn(place, place.config, 'key', 'import', `${file}.key`, '--role', name);
      for (const role of [`targets/${name}`, 'targets/releases'])
        await notaryIn(place, place.config, 'delegation', 'add', collection, role, file, '--all-paths');
    }
    await notaryIn(place, place.config, 'publish', collection);
  },
  async removeSigner(place, collection, name) {
    const keyId = canonicalKeyId(parsePublicKey(readFileSync(signerFile(place, collection, name), 'utf8')));
    const removal = ['delegation', 'remove', collection];
    await notaryIn(place, place.config, ...removal, 'targets/releases', keyId, '-y');
    await notaryIn(place, place.config, ...removal, `targets/${name}`, '-y');
    await notaryIn(place, place.config, 'publish', collection);
  },
  async signAsSigners(place, subject) {
    const listed = await notary.signers(place, subject.collection);
    await addHash(place, subject, ['targets/releases', ...listed.map((name) => `targets/${name}`)]);
  },
  async rotate(place, collection, role, holder) {
    const serverManaged = role === 'timestamp' || (role === 'snapshot' && holder === 'server');
    const rotation = ['key', 'rotate', collection, role, ...(serverManaged ? ['-r'] : [])];
    await notaryIn(place, place.config, ...rotation);
  },
  async delete(place, collection) {
    await notaryIn(place, place.config, 'delete', collection, '--remote');
  },
  async read(place, { collection, tag }, home = freshHome(place)) {
    const row = tableRow(await notaryIn(place, join(home, 'docker'), 'list', collection), tag);
    return row === undefined ? undefined : `sha256:${row[1]}`;
  },
  refusals: {
    gone: /does not have trust data/,
    expired: /expired|valid leaf certificates/,
    'no answer': /unable to reach trust server at this time: 500/,
  },
  async signers(place, collection) {
    const listed = await notaryIn(place, join(freshHome(place), 'docker'), 'delegation', 'list', collection);
    return signersAmong(listed.match(/^ *targets\/\S+/gm) ?? []);
  },
};

const dockerCli: Tool = {
  name: 'docker',
  async init(place, collection) {
    // Docker sets a collection up when its first signer is added, and signs nothing then.
    await dockerCli.addSigners(place, collection, ['first']);
  },
  async sign(place, collection, tags) {
    for (const tag of tags) await pushing(place, { collection, tag }, true, async () => {});
  },
  async revoke(place, { collection, tag }) {
    await dockerIn(place, place.config, true, 'trust', 'revoke', '--yes', `${collection}:${tag}`);
  },
  async addSigners(place, collection, names) {
    for (const name of names) {
      const key = join(place.directory, `${name}.pub`);
      if (!existsSync(key)) await dockerKey(place, name);
      await dockerIn(place, place.config, false, 'trust', 'signer', 'add', '--key', key, name, collection);
    }
  },
  async removeSigner(place, collection, name) {
    await dockerIn(place, place.config, false, 'trust', 'signer', 'remove', '--force', name, collection);
  },
  async signAsSigners(place, subject) {
    const reference = `${subject.collection}:${subject.tag}`;
    await pushing(place, subject, false, async () => {
      await dockerIn(place, place.config, false, 'trust', 'sign', reference);
    });
  },
  async read(place, { collection, tag }, home = freshHome(place)) {
    const reference = `${collection}:${tag}`;
    try {
      const printed = await dockerIn(place, join(home, 'docker'), true, 'pull', reference);
      return /^Digest: (sha256:[0-9a-f]{64})$/m.exec(printed)?.[1];
    } catch (error) {
      // `for`, then the tag: `for <collection>` says that nothing at all is signed.
      if (new RegExp(`No (valid )?trust data for ${tag}$`, 'm').test(String(error))) return undefined;
      throw error;
    } finally {
      await docker(['image', 'rm', '--force', reference]).catch(() => {});
    }
  },
  refusals: {
    gone: /does not have trust data/,
    expired: /expired|valid leaf certificates/,
    'no answer': /unable to reach trust server at this time: 500/,
  },
  async signers(place, collection) {
    const config = join(freshHome(place), 'docker');
    const printed = await dockerIn(place, config, false, 'trust', 'inspect', collection);
    const [inspected] = JSON.parse(printed) as { Signers: { Name: string }[] }[];
    return (inspected?.Signers ?? []).map(({ Name }) => Name).sort();
  },
};

/** All three, in the order of the tables. */
export const tools: readonly Tool[] = [imagevet, notary, dockerCli];
export { dockerCli, imagevet, notary };

/** A draft of changes to a collection, with the writers' keys. */
export function draftOf(
  place: Place,
  collection: string,
  options: { readonly now?: () => Date; readonly snapshotKey?: SnapshotKeyHolder } = {},
): TrustedCollection {
  return new TrustedCollection(collection, { server: place.server, keys: keysOf(place), ...options });
}

function signersAmong(roles: readonly string[]): readonly string[] {
  const names = roles.map((role) => role.trim().replace('targets/', ''));
  return names.filter((name) => name !== 'releases').sort();
}

/** File of a signer's public key made for notary. */
function signerFile(place: Place, collection: string, name: string): string {
  return join(place.directory, `${collection.replace(/\W/g, '-')}-${name}.pem`);
}

async function addHash(place: Place, subject: Tag, roles: readonly string[] = []): Promise<void> {
  const { digest, size } = await pushedAs(place, subject);
  const target = [subject.tag, `${size}`, '--sha256', digest.slice('sha256:'.length)];
  const inRoles = roles.flatMap((role) => ['-r', role]);
  await notaryIn(place, place.config, 'addhash', subject.collection, ...target, ...inRoles, '-p');
}

/** The columns of a row of notary's tables, by the first of them. */
function tableRow(printed: string, name: string): readonly string[] | undefined {
  const rows = printed.split('\n').map((line) => line.trim().split(/\s+/));
  return rows.find(([first]) => first === name);
}

/** Pulls an image unsigned, pushes it with or without a signature, does more with it, and removes it. */
async function pushing(place: Place, subject: Tag, trust: boolean, more: () => Promise<void>): Promise<void> {
  const reference = `${subject.collection}:${subject.tag}`;
  try {
    await dockerIn(place, place.config, false, 'pull', reference);
    await dockerIn(place, place.config, trust, 'push', reference);
    await more();
  } finally {
    await docker(['image', 'rm', '--force', reference]).catch(() => {});
  }
}

async function dockerKey(place: Place, name: string): Promise<void> {
  await dockerIn(place, place.config, false, 'trust', 'key', 'generate', name, '--dir', place.directory);
}
