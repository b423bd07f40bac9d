import type { OperationOptions } from '@imagevet/registry';
import type { KeyAlgorithm, Keypair } from './keypair.ts';

/** What a stored key is for. */
export interface KeyUse {
  /** `root`, `targets`, `snapshot`, a signer's name or `targets/<name>`. */
  readonly role: string;
  /** Collection of a `targets` or `snapshot` key; other keys serve any collection. */
  readonly gun?: string;
}

/** A key of a store, without its secret. */
export interface StoredKey extends Partial<KeyUse> {
  /** Canonical id. */
  readonly keyId: string;
  /** Why the key's file cannot be used: it is damaged, or may not be read. Absent for a key that can be opened. */
  readonly unreadable?: string;
}

/** Holds keys that can sign. */
export interface KeyStore {
  /** Lists keys, sorted by id; also those whose file cannot be used, with the reason. */
  list(options?: OperationOptions): AsyncIterable<StoredKey>;
  /**
   * Opens a key.
   *
   * @throws {@link TrustError} `KEY_NOT_FOUND`, `BAD_PASSPHRASE`, `INVALID_KEY`
   */
  open(keyId: string, options?: OperationOptions): Promise<Keypair>;
  /** Makes a key and stores it before it is returned. */
  generate(use: KeyUse & { readonly algorithm?: KeyAlgorithm }, options?: OperationOptions): Promise<Keypair>;
  /**
   * Stores a key; the same key again is no change. A key whose private half is elsewhere (a token, a key service) is
   * held by this store object as long as it lives, beside what is in a directory.
   */
  add(keypair: Keypair, use: KeyUse, options?: OperationOptions): Promise<void>;
  /** Forgets a key. @returns whether it was there */
  remove(keyId: string, options?: OperationOptions): Promise<boolean>;
}
