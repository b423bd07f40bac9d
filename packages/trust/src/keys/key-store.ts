import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError, type TrustErrorCode } from '../errors.ts';
import { readIfPresent, writeDurably } from '../storage/durable-file.ts';
import { generateKeypair, type KeyAlgorithm, type Keypair, SoftwareKeypair } from './keypair.ts';
import { MemoryKeyStore, notFound } from './memory-key-store.ts';
import { type PassphraseSource, withPassphrase } from './passphrase.ts';
import { readPrivateKey, readPrivateKeyHeaders, writePrivateKey } from './private-key-file.ts';

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
}

/** Holds keys that can sign. */
export interface KeyStore {
  /** Lists keys, sorted by id. */
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

class DirectoryKeyStore implements KeyStore {
  readonly #directory: string;
  readonly #passphrase: PassphraseSource | undefined;
  /** Decrypting costs a tenth of a second; a key opened once stays open as long as the store. */
  readonly #open = new Map<string, SoftwareKeypair>();
  /** Keys whose private half is elsewhere. */
  readonly #held = new MemoryKeyStore();

  constructor(directory: string, passphrase: PassphraseSource | undefined) {
    this.#directory = directory;
    this.#passphrase = passphrase;
  }

  async *list(options: OperationOptions = {}): AsyncIterable<StoredKey> {
    const held = new Map<string, StoredKey>();
    for await (const key of this.#held.list()) held.set(key.keyId, key);
    const stored = (await this.#names()).flatMap((name) => /^([0-9a-f]{64})\.key$/.exec(name)?.[1] ?? []);
    for (const keyId of [...new Set([...held.keys(), ...stored])].sort()) {
      options.signal?.throwIfAborted();
      const key = held.get(keyId);
      if (key !== undefined) yield key;
      if (key !== undefined) continue;
      const pem = await readIfPresent(this.#path(keyId));
      // Removed between listing and reading: no longer a key of this store.
      if (pem === undefined) continue;
      const { role, gun } = readPrivateKeyHeaders(pem);
      yield { keyId, ...(role === undefined ? {} : { role }), ...(gun === undefined ? {} : { gun }) };
    }
  }

  async open(keyId: string, options: OperationOptions = {}): Promise<Keypair> {
    options.signal?.throwIfAborted();
    const known = this.#open.get(keyId) ?? (await this.#held.find(keyId));
    if (known !== undefined) return known;
    const pem = /^[0-9a-f]{64}$/.test(keyId) ? await readIfPresent(this.#path(keyId)) : undefined;
    if (pem === undefined) throw notFound(keyId);
    const { role, gun, encrypted } = readPrivateKeyHeaders(pem);
    const read = async (passphrase?: string): Promise<SoftwareKeypair> => {
      try {
        return new SoftwareKeypair((await readPrivateKey(pem, passphrase)).privateKey);
      } catch (cause) {
        if (!TrustError.is(cause)) throw cause;
        // Several keys are asked for in one publish: say which.
        const subject = `open ${role ?? 'private'} key ${keyId.slice(0, 12)}${gun === undefined ? '' : ` of ${gun}`}`;
        throw new TrustError(
          cause.code as TrustErrorCode,
          `${subject}: ${cause.message.replace('read private key: ', '')}`,
          {
            details: { keyId, ...(role === undefined ? {} : { role }), path: this.#path(keyId) },
            ...(cause.code === 'BAD_PASSPHRASE'
              ? {
                  hint: 'Each key has a passphrase of its own: give one per role, or a function that is asked.',
                }
              : {}),
          },
        );
      }
    };
    const keypair = encrypted
      ? await withPassphrase(
          this.#passphrase,
          {
            purpose: 'open',
            keyId,
            ...(role === undefined ? {} : { role }),
            ...(gun === undefined ? {} : { gun }),
          },
          read,
        )
      : await read();
    if (keypair.keyId !== keyId) {
      throw new TrustError(
        'INVALID_KEY',
        `open key ${keyId.slice(0, 12)}: the file holds key ${keypair.keyId}`,
      );
    }
    this.#open.set(keyId, keypair);
    return keypair;
  }

  async generate(
    { algorithm, ...use }: KeyUse & { readonly algorithm?: KeyAlgorithm },
    options: OperationOptions = {},
  ): Promise<Keypair> {
    const keypair = generateKeypair(algorithm);
    await this.add(keypair, use, options);
    return keypair;
  }

  async add(keypair: Keypair, use: KeyUse, options: OperationOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (!(keypair instanceof SoftwareKeypair)) return this.#held.add(keypair, use);
    const { keyId } = keypair;
    // As in Notary, root and delegation keys belong to no collection.
    const gun = use.role === 'targets' || use.role === 'snapshot' ? use.gun : undefined;
    const { role } = use;
    await withPassphrase(
      this.#passphrase,
      { purpose: 'create', keyId, role, ...(gun === undefined ? {} : { gun }) },
      async (passphrase) => {
        const file = { privateKey: keypair.exportPrivateKey(), role, ...(gun === undefined ? {} : { gun }) };
        await writeDurably(this.#path(keyId), await writePrivateKey(file, passphrase));
        await chmod(this.#directory, 0o700);
      },
    );
    this.#open.set(keyId, keypair);
  }

  async remove(keyId: string): Promise<boolean> {
    if (!/^[0-9a-f]{64}$/.test(keyId)) return false;
    this.#open.delete(keyId);
    const wasHeld = await this.#held.remove(keyId);
    try {
      await rm(this.#path(keyId));
      return true;
    } catch (error) {
      if (isMissing(error)) return wasHeld;
      throw error;
    }
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #path(keyId: string): string {
    return join(this.#directory, `${keyId}.key`);
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}
