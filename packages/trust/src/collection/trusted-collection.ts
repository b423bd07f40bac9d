import { setTimeout as wait } from 'node:timers/promises';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { checkCollectionName } from '../metadata/names.ts';
import type { PublicKey } from '../metadata/types.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { withNotaryClient } from '../notary/server.ts';
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
import type { Draft, UnsignedRole } from './draft.ts';
import { type PublishContext, type PublishResult, publishParts, signParts } from './publish.ts';
import { PublishedCollection, type TrustedCollectionOptions } from './published-collection.ts';
import { assemblePart, availableKeys } from './signing.ts';

/** Attempts to publish before a race is given up: of as many who publish at once, each wins one. */
const MAX_ATTEMPTS = 24;
/** Longest mean time between attempts. */
const MAX_PAUSE_MS = 500;

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
  readonly #published: PublishedCollection;
  #changes: Change[] = [];

  /**
   * @throws {@link TrustError} `INVALID_NAME`
   */
  constructor(collection: string, options: TrustedCollectionOptions) {
    this.collection = checkCollectionName(collection);
    this.#options = options;
    this.#published = new PublishedCollection(this.collection, options);
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
   * Stages the removal of a signer and of their keys from the releases, whatever form these know them in. The releases are
   * signed again as they are when they were believed until now and a remaining key is in the store; else they count as
   * invalid until somebody signs them, see {@link PublishResult.invalidRoles}.
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
    return withNotaryClient(this.#options.server, (client) => this.#published.read(client, options));
  }

  /**
   * Publishes the staged changes in one request, sets the collection up when it does not exist, and reads the result back.
   * When somebody else published in between, the changes are applied to the newer version and sent again.
   *
   * @throws {@link TrustError} `KEY_NOT_FOUND`, `THRESHOLD`, `BAD_PASSPHRASE`, `SERVER_REFUSED`, `VERSION_CONFLICT` after
   *   24 lost races, `BROKEN_COLLECTION`, or why the published trust data is refused. The changes stay staged.
   */
  async publish(options: OperationOptions = {}): Promise<PublishResult> {
    return withNotaryClient(this.#options.server, async (client) => {
      for (let attempt = 1; ; attempt += 1) {
        const { draft, context } = await this.#published.draft(client, this.#changes, options);
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
          if (attempt >= MAX_ATTEMPTS || !(await this.#published.hasLostRace(error, context, options)))
            throw error;
          // As far apart as others may be at work, and never in step with them.
          await wait(Math.min(attempt * 50, MAX_PAUSE_MS) * 2 * Math.random(), undefined, options);
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
      const { draft, context } = await this.#published.draft(client, this.#changes, options);
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
      const { draft, context } = await this.#published.draft(client, this.#changes, options);
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
    await this.#published.remember(verified, context);
    return result;
  }
}
