import { setTimeout as wait } from 'node:timers/promises';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { KeyAlgorithm } from '../keys/keypair.ts';
import { checkCollectionName } from '../metadata/names.ts';
import type { PublicKey, RootMetadata } from '../metadata/types.ts';
import type { NotaryClient, NotaryServer } from '../notary/client.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { withNotaryClient } from '../notary/server.ts';
import type { RootTrust } from '../verify/root-trust.ts';
import { createMemoryTrustState, type TrustStateStore } from '../verify/state.ts';
import { saveUpdate, updateCollection } from '../verify/update.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';
import { applyChanges } from './apply-change.ts';
import {
  collectSignatures,
  createSigningRequest,
  type DetachedSignatures,
  readSigningRequest,
  type SigningRequest,
} from './ceremony.ts';
import { type Change, checkChange, type Delegation, type SignableTarget, targetChange } from './changes.ts';
import { Draft, type UnsignedRole } from './draft.ts';
import { createInitialRoot, type SnapshotKeyHolder } from './initial-root.ts';
import { type PublishContext, type PublishResult, publishParts, signParts } from './publish.ts';
import { assemblePart, availableKeys, ownRootKeys } from './signing.ts';

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

/** Attempts to publish before a race is given up. */
const MAX_ATTEMPTS = 5;

/**
 * A draft of changes to a collection. Stage changes, then {@link publish} them in one request; a collection that does not
 * exist is set up by its first publish.
 *
 * @example
 * ```ts
 * const collection = new TrustedCollection('registry.example.com/library/php', { server, keys });
 * collection.setTarget({ tag: '8.4', digest, size });
 * const { rootKeyIds } = await collection.publish();
 * ```
 */
export class TrustedCollection {
  readonly collection: string;
  readonly #options: TrustedCollectionOptions;
  readonly #state: TrustStateStore;
  #changes: Change[] = [];

  /**
   * @throws {@link TrustError} `INVALID_NAME`
   */
  constructor(collection: string, options: TrustedCollectionOptions) {
    this.collection = checkCollectionName(collection);
    this.#options = options;
    this.#state = options.state ?? createMemoryTrustState();
  }

  /** Changes that wait for {@link publish}. */
  get changes(): readonly Change[] {
    return [...this.#changes];
  }

  /** Forgets staged changes. */
  discard(): void {
    this.#changes = [];
  }

  /**
   * Stages a tag, for the roles docker would sign: `targets`, or every delegation a key of the store belongs to.
   *
   * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS`
   */
  setTarget(target: SignableTarget, options: { readonly roles?: readonly string[] } = {}): this {
    return this.stage(targetChange(target, options.roles));
  }

  /** Stages the removal of a tag, from every role we can sign or from those named. */
  removeTarget(tag: string, options: { readonly roles?: readonly string[] } = {}): this {
    return this.stage({ type: 'target-remove', name: tag, ...options });
  }

  /**
   * Stages a delegation, new or instead of the one of this name.
   *
   * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS` for fewer keys than the threshold
   */
  setDelegation(delegation: Delegation): this {
    return this.stage({ type: 'delegation-set', delegation });
  }

  /**
   * Stages the removal of a delegation; what it signed no longer counts. Publishing throws `INVALID_OPTIONS` when there is
   * none of this name.
   */
  removeDelegation(name: string): this {
    return this.stage({ type: 'delegation-remove', name });
  }

  /**
   * Stages a signer as docker knows them: keys that may sign every tag, in `targets/<name>` and in `targets/releases`.
   *
   * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS`
   */
  addSigner(name: string, keys: readonly PublicKey[]): this {
    return this.stage({ type: 'signer-add', name, keys });
  }

  /**
   * Stages the removal of a signer and of their keys from the releases, which are signed again as they are when a
   * remaining key is in the store; else they count as invalid until somebody signs them, see
   * {@link PublishResult.invalidRoles}.
   *
   * @param options - With `resign: false` nothing is signed again: for a signer who is not trusted any more.
   */
  removeSigner(name: string, options: { readonly resign?: boolean } = {}): this {
    return this.stage({ type: 'signer-remove', name, resign: options.resign ?? true });
  }

  /** Stages signing a role again as it is: renews its expiry, or replaces signatures of a removed key. */
  witness(role: string): this {
    return this.stage({ type: 'witness', role });
  }

  /** Stages emptying a role: every tag it holds is no longer signed by it. */
  reset(role: string): this {
    return this.stage({ type: 'reset', role });
  }

  /**
   * Stages a change.
   *
   * @throws {@link TrustError} `INVALID_NAME`, `INVALID_OPTIONS`, `INVALID_KEY`, `UNSUPPORTED_KEY`
   */
  stage(change: Change): this {
    this.#changes.push(checkChange(change));
    return this;
  }

  /**
   * Brings the collection up to date, verified; `undefined` when it has no trust data yet.
   *
   * @throws {@link TrustError} why the trust data is refused or not to be had
   */
  async refresh(options: OperationOptions = {}): Promise<VerifiedCollection | undefined> {
    return withNotaryClient(this.#options.server, (client) => this.#read(client, options));
  }

  /**
   * Publishes the staged changes in one request, sets the collection up when it does not exist, and reads the result back.
   * When somebody else published in between, the changes are applied to the newer version and sent again.
   *
   * @throws {@link TrustError} `KEY_NOT_FOUND`, `THRESHOLD`, `BAD_PASSPHRASE`, `SERVER_REFUSED`, `VERSION_CONFLICT` after five
   *   lost races, `BROKEN_COLLECTION`, or why the published trust data is refused. The changes stay staged.
   */
  async publish(options: OperationOptions = {}): Promise<PublishResult> {
    return withNotaryClient(this.#options.server, async (client) => {
      for (let attempt = 1; ; attempt += 1) {
        const { draft, context } = await this.#draft(client, options);
        await applyChanges(draft, this.#changes, await availableKeys(context.keys, options));
        const unsigned = await this.#unsigned(draft);
        try {
          const result = await this.#send(unsigned, await signParts(unsigned, context), {
            ...context,
            root: draft.root,
          });
          this.#changes = [];
          return result;
        } catch (error) {
          if (attempt >= MAX_ATTEMPTS || !(await this.#lostRace(error, context, options))) throw error;
          await wait(attempt * 50 * (1 + Math.random()), undefined, options);
        }
      }
    });
  }

  /**
   * Writes down what the staged changes need signed, for signers who are elsewhere: each signs with {@link signDetached},
   * and {@link publishPrepared} publishes what they send back. The changes stay staged.
   *
   * @returns plain data, to be kept as a file
   */
  async prepare(options: OperationOptions = {}): Promise<SigningRequest> {
    return withNotaryClient(this.#options.server, async (client) => {
      const { draft, context } = await this.#draft(client, options);
      await applyChanges(draft, this.#changes, await availableKeys(context.keys, options));
      return createSigningRequest(this.collection, await this.#unsigned(draft));
    });
  }

  /**
   * Publishes prepared roles with the signatures collected for them.
   *
   * @throws {@link TrustError} `THRESHOLD` or `KEY_NOT_FOUND` when signatures are missing, `INVALID_SIGNATURE` when one is
   *   wrong, `VERSION_CONFLICT` when the collection changed since, and what {@link publish} throws
   */
  async publishPrepared(
    request: SigningRequest,
    signatures: readonly DetachedSignatures[],
    options: OperationOptions = {},
  ): Promise<PublishResult> {
    return withNotaryClient(this.#options.server, async (client) => {
      const { draft, context } = await this.#draft(client, options);
      await draft.adopt(readSigningRequest(request, this.collection));
      const unsigned = await this.#unsigned(draft);
      const parts = unsigned.map((role) =>
        assemblePart(role, collectSignatures(request, role.role, signatures)),
      );
      const result = await this.#send(unsigned, parts, { ...context, root: draft.root });
      this.#changes = [];
      return result;
    });
  }

  async #draft(
    client: NotaryClient,
    options: OperationOptions,
  ): Promise<{ draft: Draft; context: PublishContext }> {
    const { keys } = this.#options;
    const now = this.#options.now ?? (() => new Date());
    const base = await this.#read(client, options);
    const root = base?.root.signed ?? (await this.#initialRoot(client, now(), options));
    const draft = new Draft(root, base, { ...options, now: now() });
    return { draft, context: { ...options, collection: this.collection, client, keys, now, root, base } };
  }

  async #unsigned(draft: Draft): Promise<UnsignedRole[]> {
    const unsigned = await draft.unsigned();
    if (unsigned.length > 0) return unsigned;
    throw new TrustError('INVALID_OPTIONS', `publish ${this.collection}: nothing is staged`);
  }

  async #send(
    unsigned: readonly UnsignedRole[],
    parts: readonly PublishPart[],
    context: PublishContext,
  ): Promise<PublishResult> {
    const { result, verified } = await publishParts(unsigned, parts, context);
    await saveUpdate(verified, this.#state, context.now());
    return result;
  }

  async #initialRoot(client: NotaryClient, now: Date, options: OperationOptions): Promise<RootMetadata> {
    const { keys, keyAlgorithm, snapshotKey = 'server' } = this.#options;
    const given = new Map(
      this.#changes.flatMap((change) =>
        change.type === 'role-keys' ? [[change.role, change] as const] : [],
      ),
    );
    return createInitialRoot(this.collection, {
      ...{ ...options, client, keys, now, snapshotKey, keyAlgorithm, given },
    });
  }

  // Verified like any reader's, except that what expired may be read in order to renew it.
  async #read(client: NotaryClient, options: OperationOptions): Promise<VerifiedCollection | undefined> {
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

  async #lostRace(
    error: unknown,
    { base, client }: PublishContext,
    options: OperationOptions,
  ): Promise<boolean> {
    if (!TrustError.is(error)) return false;
    if (error.code === 'VERSION_CONFLICT') return true;
    if (error.code !== 'SERVER_REFUSED') return false;
    // The server words a lost race in several ways; what counts is whether something newer is there.
    const current = await this.#read(client, options);
    return current !== undefined && current.snapshot.signed.version > (base?.snapshot.signed.version ?? 0);
  }
}
