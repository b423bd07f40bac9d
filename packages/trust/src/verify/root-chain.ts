import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { MetadataFile, RootMetadata } from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import {
  authoritiesOf,
  isTrustedRoot,
  type RootTrust,
  verifyRootItself,
  verifyRootSuccession,
} from './root-trust.ts';
import type { VerifiedKey } from './signatures.ts';

type Root = MetadataFile<RootMetadata>;
/** Roots in order of their versions, each signed by the keys of the one before it. */
type Chain = readonly [Root, ...Root[]];

/** Where the roots of a collection come from, and why one of them is trusted. */
export interface RootChainOptions extends OperationOptions {
  readonly source: MetadataSource;
  readonly root?: RootTrust | undefined;
  /** When the authorities of a root seen for the first time must be valid; absent when they may have expired. */
  readonly now: Date | undefined;
}

const MAX_ROOT_BYTES = 4 * 1024 * 1024;
/** Rotations followed in one update, in each direction. */
const MAX_ROOT_STEPS = 1024;

/**
 * The roots of a collection: finds the one that is trusted and follows its successors.
 *
 * A root that was remembered is never left for another branch. The pin must vouch for it, for one it was followed from, or
 * for one that follows from it; otherwise whoever holds a key that was rotated away could start a chain of their own at the
 * root an old pin still names.
 *
 * @see TUF specification 5.2, 5.3
 */
export class RootChain {
  readonly #collection: string;
  readonly #options: RootChainOptions;
  /** Whose signatures hold on roots looked at so far. */
  readonly #signers = new Map<Root, readonly VerifiedKey[]>();

  constructor(collection: string, options: RootChainOptions) {
    this.#collection = collection;
    this.#options = options;
    if (options.root !== undefined) authoritiesOf(options.root);
  }

  /** From the remembered root, or the first one of a first contact, to the root to start with. */
  async trusted(remembered: Root | undefined): Promise<Chain> {
    const { root: trust, now } = this.#options;
    if (remembered === undefined) return [await this.#firstContact(trust)];
    // What was remembered is the pin; its certificates were looked at when it was new.
    if (trust === undefined || this.#isTrusted(remembered, trust)) return [remembered];
    if (await this.#followsFromTrusted(remembered, trust)) return [remembered];
    const chain = await this.follow(remembered);
    if (chain.some((root) => this.#isTrusted(root, trust, now))) return chain;
    throw this.#mismatch(
      remembered,
      'the remembered root is not the pinned one, nor of its chain',
      'Either the pin is wrong or somebody set the collection up anew. If you know that it was, start with another state.',
    );
  }

  /** From a root to its newest successor, one version after the other, until the server has no next one. */
  async follow(start: Root): Promise<Chain> {
    const chain: [Root, ...Root[]] = [start];
    for (let root = start; chain.length <= MAX_ROOT_STEPS; chain.push(root)) {
      const next = await this.#fetch(root.signed.version + 1);
      if (next === undefined) return chain;
      // TUF 5.3.4, 5.3.5; 5.3.7: expiry of those in between does not matter.
      verifyRootSuccession(root, next, this.#collection);
      this.verify(next, undefined);
      root = next;
    }
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `verify ${this.#collection}: more than ${MAX_ROOT_STEPS} root rotations`,
    );
  }

  /** Verifies a root by its own keys. Leave `now` out to accept expired certificates. */
  verify(root: Root, now: Date | undefined): readonly VerifiedKey[] {
    const signers = verifyRootItself(root, this.#collection, now, this.#signers.get(root));
    if (!this.#signers.has(root)) this.#signers.set(root, signers);
    return signers;
  }

  // One that its own keys did not sign is trusted by nobody.
  #isTrusted(root: Root, trust: RootTrust, now?: Date): boolean {
    try {
      return isTrustedRoot(root, this.#collection, trust, this.verify(root, undefined), now);
    } catch (error) {
      if (TrustError.is(error)) return false;
      throw error;
    }
  }

  // TUF 5.2: the trusted root comes from the caller's pin.
  async #firstContact(trust: RootTrust | undefined): Promise<Root> {
    if (trust === undefined) {
      throw new TrustError(
        'ROOT_NOT_PINNED',
        `verify ${this.#collection}: nothing says which root is trusted`,
        {
          hint: 'Give the id of the root key, a CA, or { firstUse: true } when the first contact may be trusted.',
        },
      );
    }
    const newest = await this.#fetch();
    if (newest === undefined) {
      throw new TrustError('NOT_SIGNED', `verify ${this.#collection}: the server has no trust data for it`);
    }
    this.verify(newest, undefined);
    const { now } = this.#options;
    if (this.#isTrusted(newest, trust, now)) return newest;
    // The pinned key may have been rotated: go back to the root it signed; the chain is followed from there.
    for await (const root of this.#predecessors(newest)) if (this.#isTrusted(root, trust, now)) return root;
    throw this.#mismatch(
      newest,
      'its root is not the pinned one',
      'Either the pin is wrong or somebody else set up the collection. Compare the key ids over another channel.',
    );
  }

  async #followsFromTrusted(remembered: Root, trust: RootTrust): Promise<boolean> {
    let successor = remembered;
    for await (const root of this.#predecessors(remembered)) {
      try {
        verifyRootSuccession(root, successor, this.#collection);
      } catch (error) {
        // Another branch than the one that was followed: it vouches for nothing.
        if (TrustError.is(error)) return false;
        throw error;
      }
      if (this.#isTrusted(root, trust)) return true;
      successor = root;
    }
    return false;
  }

  // What the server holds under the numbers below a root's; nothing of it is verified.
  async *#predecessors(root: Root): AsyncGenerator<Root> {
    const { version } = root.signed;
    for (let number = version - 1; number > 0 && version - number <= MAX_ROOT_STEPS; number -= 1) {
      const older = await this.#fetch(number);
      if (older === undefined) return;
      yield older;
    }
  }

  async #fetch(version?: number): Promise<Root | undefined> {
    const { source, signal } = this.#options;
    const bytes = await source.fetchMetadata(this.#collection, 'root', {
      maxBytes: MAX_ROOT_BYTES,
      ...(version === undefined ? {} : { version }),
      ...(signal === undefined ? {} : { signal }),
    });
    return bytes === undefined ? undefined : parseMetadata('root', bytes);
  }

  #mismatch(root: Root, reason: string, hint: string): TrustError {
    const { keyids, threshold } = root.signed.roles.root;
    return new TrustError('ROOT_MISMATCH', `verify ${this.#collection}: ${reason}`, {
      details: { received: keyids ?? [], threshold },
      hint,
    });
  }
}
