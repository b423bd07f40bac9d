import { join } from 'node:path';
import { DirectoryKeyStore } from './directory-key-store.ts';
import type { KeyStore } from './key-store.ts';
import { MemoryKeyStore } from './memory-key-store.ts';
import type { PassphraseSource } from './passphrase.ts';

/** Where keys are kept, and who knows the passphrases. */
export interface CreateKeyStoreOptions {
  /**
   * Trust directory of docker (`~/.docker/trust`) or notary (`~/.notary`); keys are in its `private` directory and shared
   * with these tools. Without a directory keys live in memory: one that is made there is gone with the process.
   */
  readonly directory?: string;
  /** Opens and encrypts key files. */
  readonly passphrase?: PassphraseSource;
}

/** Opens a key store: a directory shared with docker and notary, or memory. */
export function createKeyStore(options: CreateKeyStoreOptions = {}): KeyStore {
  return options.directory === undefined
    ? new MemoryKeyStore()
    : new DirectoryKeyStore(join(options.directory, 'private'), options.passphrase);
}
