import type { OperationOptions } from '@imagevet/registry';
import type { KeyStore, KeyUse } from '../keys/key-store.ts';
import { algorithmFor, type KeyAlgorithm, type Keypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import type { BaseRole, PublicKey, RoleKeys, RootMetadata } from '../metadata/types.ts';
import type { NotaryClient } from '../notary/client.ts';

/** Who signs the snapshot: the server (as docker sets up collections) or the publisher (as notary does). */
export type SnapshotKeyHolder = 'server' | 'client';

/** How to set up a new collection. */
export interface InitialRootOptions extends OperationOptions {
  readonly client: NotaryClient;
  readonly keys: KeyStore;
  readonly now: Date;
  readonly snapshotKey: SnapshotKeyHolder;
  readonly keyAlgorithm?: KeyAlgorithm | undefined;
  /** Keys of roles that are known already: none is looked for or made for these. */
  readonly given?: ReadonlyMap<BaseRole, GivenKeys>;
}

/** The keys of a role and how many of them must sign. */
export interface GivenKeys {
  readonly keys: readonly PublicKey[];
  readonly threshold: number;
}

/**
 * Makes the root of a new collection. Keys already in the store are used again, so that an attempt that failed half-way
 * leaves nothing behind: the root key with the smallest id, as docker does, and the collection's own targets key.
 */
export async function createInitialRoot(
  collection: string,
  options: InitialRootOptions,
): Promise<RootMetadata> {
  const { client, keys, now, signal } = options;
  const own = { ...(signal === undefined ? {} : { signal }) };
  const makers: Readonly<Record<BaseRole, () => Promise<PublicKey>>> = {
    root: async () => {
      const keypair = await findOrGenerate({ role: 'root' });
      return issueRootCertificate(keypair, collection, { ...own, now: () => now });
    },
    targets: async () => (await findOrGenerate({ role: 'targets', gun: collection })).publicKey,
    timestamp: () => client.fetchServerKey(collection, 'timestamp', own),
    snapshot: async () =>
      options.snapshotKey === 'server'
        ? client.fetchServerKey(collection, 'snapshot', own)
        : (await findOrGenerate({ role: 'snapshot', gun: collection })).publicKey,
  };
  const all: Record<string, PublicKey> = {};
  const roleKeys = async (role: BaseRole): Promise<RoleKeys> => {
    const given = options.given?.get(role) ?? { keys: [await makers[role]()], threshold: 1 };
    const keyids = given.keys.map(tufKeyId);
    given.keys.forEach((key, index) => {
      all[keyids[index] ?? ''] = key;
    });
    return { keyids, threshold: given.threshold };
  };
  const roles = {
    root: await roleKeys('root'),
    targets: await roleKeys('targets'),
    timestamp: await roleKeys('timestamp'),
    snapshot: await roleKeys('snapshot'),
  };
  return {
    _type: 'Root',
    consistent_snapshot: false,
    // Set when it is signed.
    expires: '',
    keys: all,
    roles,
    version: 0,
  };

  async function findOrGenerate(use: KeyUse): Promise<Keypair> {
    for await (const key of keys.list(own)) {
      if (key.role === use.role && key.gun === use.gun) return keys.open(key.keyId, own);
    }
    return keys.generate({ ...use, algorithm: algorithmFor(use.role, options.keyAlgorithm) }, own);
  }
}
