import type { OperationOptions } from '@imagevet/registry';
import type { KeyStore } from '../keys/key-store.ts';
import type { KeyAlgorithm, Keypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import type { RoleKeys, RootMetadata } from '../metadata/types.ts';
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
  const rootKeypair = await findOrGenerate({ role: 'root' }, options);
  const rootKey = await issueRootCertificate(rootKeypair, collection, { ...own, now: () => now });
  const targetsKey = (await findOrGenerate({ role: 'targets', gun: collection }, options)).publicKey;
  const timestampKey = await client.fetchServerKey(collection, 'timestamp', own);
  const snapshotKey =
    options.snapshotKey === 'server'
      ? await client.fetchServerKey(collection, 'snapshot', own)
      : (await findOrGenerate({ role: 'snapshot', gun: collection }, options)).publicKey;
  const one = (key: typeof rootKey): RoleKeys => ({ keyids: [tufKeyId(key)], threshold: 1 });
  return {
    _type: 'Root',
    consistent_snapshot: false,
    // Set when it is signed.
    expires: '',
    keys: Object.fromEntries(
      [rootKey, targetsKey, snapshotKey, timestampKey].map((key) => [tufKeyId(key), key]),
    ),
    roles: {
      root: one(rootKey),
      snapshot: one(snapshotKey),
      targets: one(targetsKey),
      timestamp: one(timestampKey),
    },
    version: 0,
  };

  async function findOrGenerate(
    use: { role: string; gun?: string },
    { keyAlgorithm }: InitialRootOptions,
  ): Promise<Keypair> {
    for await (const key of keys.list(own)) {
      if (key.role === use.role && key.gun === use.gun) return keys.open(key.keyId, own);
    }
    return keys.generate({ ...use, ...(keyAlgorithm === undefined ? {} : { algorithm: keyAlgorithm }) }, own);
  }
}
