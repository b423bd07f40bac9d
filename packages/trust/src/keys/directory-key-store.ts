import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError, type TrustErrorCode } from '../errors.ts';
import { readIfPresent, writeDurably } from '../storage/durable-file.ts';
import { type KeyFile, keyFilesOf, listKeyFiles } from './key-files.ts';
import type { KeyStore, KeyUse, StoredKey } from './key-store.ts';
import { generateKeypair, type KeyAlgorithm, type Keypair, SoftwareKeypair } from './keypair.ts';
import { MemoryKeyStore, notFound } from './memory-key-store.ts';
import { type PassphraseSource, withPassphrase } from './passphrase.ts';
import { readPrivateKey, readPrivateKeyHeaders, writePrivateKey } from './private-key-file.ts';

/** Keeps keys in the `private` directory that docker and notary share. */
export class DirectoryKeyStore implements KeyStore {
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
    const files = await listKeyFiles(this.#directory);
    for (const keyId of [...new Set([...held.keys(), ...files.keys()])].sort()) {
      options.signal?.throwIfAborted();
      const file = files.get(keyId);
      const key = held.get(keyId) ?? (file === undefined ? undefined : await describe(file));
      if (key !== undefined) yield key;
    }
  }

  async open(keyId: string, options: OperationOptions = {}): Promise<Keypair> {
    options.signal?.throwIfAborted();
    const known = this.#open.get(keyId) ?? (await this.#held.find(keyId));
    if (known !== undefined) return known;
    const file = isKeyId(keyId) ? (await listKeyFiles(this.#directory)).get(keyId) : undefined;
    const pem = file === undefined ? undefined : await readKeyFile(file);
    if (file === undefined || pem === undefined) throw notFound(keyId);
    const keypair = await this.#decrypt(file, pem);
    if (keypair.keyId !== keyId) {
      throw new TrustError(
        'INVALID_KEY',
        `open key ${keyId.slice(0, 12)}: the file holds key ${keypair.keyId}`,
      );
    }
    this.#open.set(keyId, keypair);
    return keypair;
  }

  async #decrypt(file: KeyFile, pem: string): Promise<SoftwareKeypair> {
    const { keyId, path } = file;
    const read = async (passphrase?: string): Promise<SoftwareKeypair> =>
      new SoftwareKeypair((await readPrivateKey(pem, passphrase)).privateKey);
    const tell = (cause: unknown, { role, gun }: Partial<KeyUse>): unknown => {
      if (!TrustError.is(cause)) return cause;
      // Several keys are asked for in one publish: say which.
      const subject = `open ${role ?? 'private'} key ${keyId.slice(0, 12)}${gun === undefined ? '' : ` of ${gun}`}`;
      const reason = cause.message.replace('read private key: ', '');
      const message = reason.startsWith(subject) ? reason : `${subject}: ${reason}`;
      const hint = cause.hint ?? (cause.code === 'BAD_PASSPHRASE' ? PASSPHRASE_HINT : undefined);
      return new TrustError(cause.code as TrustErrorCode, message, {
        ...(hint === undefined ? {} : { hint }),
        details: { keyId, path, ...(role === undefined ? {} : { role }) },
      });
    };
    let use: Partial<KeyUse> = file;
    try {
      const { encrypted, ...headers } = readPrivateKeyHeaders(pem);
      use = useOf(file, headers);
      if (!encrypted) return await read();
      return await withPassphrase(this.#passphrase, { purpose: 'open', keyId, ...use }, read);
    } catch (cause) {
      throw tell(cause, use);
    }
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
        await this.#write(keyId, await writePrivateKey(file, passphrase));
      },
    );
    this.#open.set(keyId, keypair);
  }

  async #write(keyId: string, pem: string): Promise<void> {
    try {
      await writeDurably(this.#path(keyId), pem);
      await chmod(this.#directory, 0o700);
    } catch (cause) {
      const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
      throw new TrustError(
        'INVALID_OPTIONS',
        `store key ${keyId.slice(0, 12)}: it cannot be written (${code})`,
        {
          cause,
          details: { path: this.#path(keyId) },
          hint: 'Give a directory that can be written, or keys that are there already.',
        },
      );
    }
  }

  async remove(keyId: string): Promise<boolean> {
    if (!isKeyId(keyId)) return false;
    this.#open.delete(keyId);
    let removed = await this.#held.remove(keyId);
    for (const { path } of await keyFilesOf(this.#directory, keyId)) {
      try {
        await rm(path);
        removed = true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    return removed;
  }

  #path(keyId: string): string {
    return join(this.#directory, `${keyId}.key`);
  }
}

const PASSPHRASE_HINT =
  'Each key has a passphrase of its own: give one per role, or a function that is asked.';

function isKeyId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

// What cannot be used is no reason to hide the other keys; `undefined` when it was removed since it was listed.
async function describe(file: KeyFile): Promise<StoredKey | undefined> {
  const { keyId } = file;
  try {
    const pem = await readKeyFile(file);
    return pem === undefined ? undefined : { keyId, ...useOf(file, readPrivateKeyHeaders(pem)) };
  } catch (error) {
    if (!TrustError.is(error)) throw error;
    return { keyId, ...useOf(file, {}), unreadable: error.message.replace('read private key: ', '') };
  }
}

// A path that says what its key is for was made by a tool that wrote no headers.
function useOf(file: KeyFile, headers: Partial<KeyUse>): Partial<KeyUse> {
  const role = file.role ?? headers.role;
  const gun = file.gun ?? headers.gun;
  return { ...(role === undefined ? {} : { role }), ...(gun === undefined ? {} : { gun }) };
}

async function readKeyFile({ path }: KeyFile): Promise<string | undefined> {
  try {
    return await readIfPresent(path);
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
    throw new TrustError('INVALID_KEY', `read private key: the file cannot be read (${code})`, {
      cause,
      details: { path },
    });
  }
}
