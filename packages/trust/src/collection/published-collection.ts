import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { KeyAlgorithm } from '../keys/keypair.ts';
import type { RootMetadata } from '../metadata/types.ts';
import type { NotaryClient, NotaryServer } from '../notary/client.ts';
import type { RootTrust } from '../verify/root-trust.ts';
import { createMemoryTrustState, type TrustStateStore } from '../verify/state.ts';
import { saveUpdate, updateCollection } from '../verify/update.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';
import type { Change } from './changes.ts';
import { Draft } from './draft.ts';
import { createInitialRoot, type SnapshotKeyHolder } from './initial-root.ts';
import type { PublishContext } from './publish.ts';
import { ownRootKeys } from './signing.ts';

/** What a {@link TrustedCollection} works with. */
export interface TrustedCollectionOptions {
  readonly server: NotaryServer | NotaryClient;
  readonly keys: KeyStore;
  /**
   * Why the root of an existing collection is trusted.
   * @defaultValue the root in `state`, else the root keys in `keys`
   */
  readonly root?: RootTrust;
  /** @defaultValue memory of this object */
  readonly state?: TrustStateStore;
  readonly now?: () => Date;
  /** Who signs the snapshot of a collection that is set up. @defaultValue `server`, as docker; delegations need it */
  readonly snapshotKey?: SnapshotKeyHolder;
  /** Kind of keys that are made; a root key is ECDSA whatever is said here. @defaultValue `ecdsa-p256` */
  readonly keyAlgorithm?: KeyAlgorithm;
}

/** What is published of a collection, as somebody sees it who is about to publish. */
export class PublishedCollection {
  readonly collection: string;
  readonly #options: TrustedCollectionOptions;
  readonly #state: TrustStateStore;

  constructor(collection: string, options: TrustedCollectionOptions) {
    this.collection = collection;
    this.#options = options;
    this.#state = options.state ?? createMemoryTrustState();
  }

  async draft(
    client: NotaryClient,
    changes: readonly Change[],
    options: OperationOptions,
  ): Promise<{ draft: Draft; context: PublishContext }> {
    const { keys } = this.#options;
    const now = this.#options.now ?? (() => new Date());
    const base = await this.read(client, options);
    const root = base?.root.signed ?? (await this.#initialRoot(client, now(), changes, options));
    const draft = new Draft(root, base, { ...options, now: now() });
    return { draft, context: { ...options, collection: this.collection, client, keys, now, root, base } };
  }

  /** Remembers what was read back after a publish. */
  async remember(verified: VerifiedCollection, { now }: PublishContext): Promise<void> {
    await saveUpdate(verified, this.#state, now());
  }

  async #initialRoot(
    client: NotaryClient,
    now: Date,
    changes: readonly Change[],
    options: OperationOptions,
  ): Promise<RootMetadata> {
    const { keys, keyAlgorithm, snapshotKey = 'server' } = this.#options;
    const given = new Map(
      changes.flatMap((change) => (change.type === 'role-keys' ? [[change.role, change] as const] : [])),
    );
    return createInitialRoot(this.collection, {
      ...{ ...options, client, keys, now, snapshotKey, keyAlgorithm, given },
    });
  }

  // Verified like any reader's, except that what expired may be read in order to renew it.
  async read(client: NotaryClient, options: OperationOptions): Promise<VerifiedCollection | undefined> {
    try {
      return await updateCollection(this.collection, {
        ...options,
        source: client,
        root: this.#options.root ?? (await this.#defaultRoot(options)),
        state: this.#state,
        now: this.#options.now,
        allowExpired: true,
      });
    } catch (error) {
      const known = await this.#state.load(this.collection);
      // A collection that was there and is gone is not set up again silently.
      if (TrustError.is(error) && error.code === 'NOT_SIGNED' && known === undefined) return undefined;
      throw error;
    }
  }

  async #defaultRoot(options: OperationOptions): Promise<RootTrust | undefined> {
    const remembered = (await this.#state.load(this.collection))?.files.root;
    return remembered === undefined ? ownRootKeys(this.#options.keys, options) : undefined;
  }

  async hasLostRace(
    error: unknown,
    { base, client }: PublishContext,
    options: OperationOptions,
  ): Promise<boolean> {
    if (!TrustError.is(error)) return false;
    if (error.code === 'VERSION_CONFLICT') return true;
    if (error.code !== 'SERVER_REFUSED') return false;
    // The server words a lost race in several ways; what counts is whether something newer is there.
    const current = await this.read(client, options);
    return current !== undefined && current.snapshot.signed.version > (base?.snapshot.signed.version ?? 0);
  }
}
