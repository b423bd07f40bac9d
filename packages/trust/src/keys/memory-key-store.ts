import { TrustError } from '../errors.ts';
import type { KeyStore, KeyUse, StoredKey } from './key-store.ts';
import { generateKeypair, type KeyAlgorithm, type Keypair } from './keypair.ts';

/** Holds keys as long as it lives. */
export class MemoryKeyStore implements KeyStore {
  readonly #keys = new Map<string, { keypair: Keypair; use: KeyUse }>();

  async *list(): AsyncIterable<StoredKey> {
    for (const keyId of [...this.#keys.keys()].sort()) yield { keyId, ...this.#keys.get(keyId)?.use };
  }

  async open(keyId: string): Promise<Keypair> {
    const keypair = await this.find(keyId);
    if (keypair === undefined) throw notFound(keyId);
    return keypair;
  }

  async find(keyId: string): Promise<Keypair | undefined> {
    return this.#keys.get(keyId)?.keypair;
  }

  async generate({ algorithm, ...use }: KeyUse & { readonly algorithm?: KeyAlgorithm }): Promise<Keypair> {
    const keypair = generateKeypair(algorithm);
    await this.add(keypair, use);
    return keypair;
  }

  async add(keypair: Keypair, use: KeyUse): Promise<void> {
    this.#keys.set(keypair.keyId, { keypair, use });
  }

  async remove(keyId: string): Promise<boolean> {
    return this.#keys.delete(keyId);
  }
}

/** The error of a key that is not there. */
export function notFound(keyId: string): TrustError {
  return new TrustError('KEY_NOT_FOUND', `open key ${keyId.slice(0, 12)}: not in the key store`);
}
