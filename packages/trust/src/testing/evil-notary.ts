import { canonicalJson, type JsonValue, wireJson } from '../json/canonical-json.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { generateKeypair, type Keypair } from '../keys/keypair.ts';
import { canonicalKeyId, tufKeyId } from '../keys/public-key.ts';
import { issueRootCertificate } from '../keys/root-certificate.ts';
import { parentRole } from '../metadata/names.ts';
import type { FileMeta, PublicKey, RoleKeys, Signature } from '../metadata/types.ts';
import type { RunningNotary } from './notary.ts';
import { fileMetaOf } from './notary-store.ts';

/** The signed part of a file that may say anything. */
export type RawMetadata = Record<string, JsonValue>;

/**
 * Spoils what an in-process notary holds, one named fault at a time, after the fault generator of Notary's own tests
 * (`tuf/testutils/swizzler.go`). It holds every key, so each fault can be signed and hashed as if it were right.
 */
export class EvilNotary {
  readonly #notary: RunningNotary;
  readonly #collection: string;
  readonly #keys: KeyStore;

  /** @param keys - Keys of the collection's owner; the server's own keys are at hand. */
  constructor(notary: RunningNotary, collection: string, keys: KeyStore) {
    this.#notary = notary;
    this.#collection = collection;
    this.#keys = keys;
  }

  /** Cuts a file in the middle of its JSON. */
  setInvalidJson(role: string): void {
    this.#put(role, this.bytes(role).subarray(0, -5));
  }

  /** Adds a space at the end, where JSON does not mind. */
  addExtraSpace(role: string): void {
    this.#put(role, Buffer.concat([this.bytes(role), Buffer.from(' ')]));
  }

  /** Replaces the signed part by a text. */
  async setInvalidSigned(role: string): Promise<void> {
    await this.#sign(role, 'not an object', this.#signers(role));
  }

  /** Signs a part whose members are of other types. */
  async setInvalidSignedMeta(role: string): Promise<void> {
    await this.mutate(role, (signed) => ({ ...signed, expires: false, version: 'one' }));
  }

  /** Signs a part that says it is of an unknown type. */
  async setInvalidMetadataType(role: string): Promise<void> {
    await this.mutate(role, (signed) => ({ ...signed, _type: 'not_real' }));
  }

  /** Alters every signature. */
  invalidateSignatures(role: string): void {
    const altered = this.signatures(role).map((signature) => {
      const bytes = Buffer.from(signature.sig, 'base64');
      bytes[0] = (bytes[0] ?? 0) ^ 0xff;
      return { ...signature, sig: bytes.toString('base64') };
    });
    this.write(role, this.read(role), altered);
  }

  /** Loses a file, in all versions. */
  removeMetadata(role: string): void {
    this.#notary.store.replace(this.#collection, role, undefined);
  }

  /** Signs a file with a key nobody named. */
  async signWithInvalidKey(role: string): Promise<void> {
    const keypair = generateKeypair();
    await this.#sign(role, this.read(role), [[keypair.publicKey, keypair]]);
  }

  /** Signs a file with its version moved. */
  async offsetVersion(role: string, offset: number): Promise<void> {
    await this.mutate(role, (signed) => ({ ...signed, version: Number(signed.version) + offset }));
  }

  /** Signs a file that expired an hour ago. */
  async expire(role: string, now: Date = new Date()): Promise<void> {
    const expires = `${new Date(now.getTime() - 3_600_000).toISOString().slice(0, 19)}Z`;
    await this.mutate(role, (signed) => ({ ...signed, expires }));
  }

  /** Makes the root demand more signatures of a role than it has. */
  async setThreshold(role: string, threshold: number): Promise<void> {
    await this.mutate('root', (signed) => {
      const roles = signed.roles as Record<string, JsonValue>;
      return { ...signed, roles: { ...roles, [role]: { ...(roles[role] as RawMetadata), threshold } } };
    });
  }

  /** Names another key for a role in the root. */
  async rotateKey(role: string, key: PublicKey = generateKeypair().publicKey): Promise<void> {
    await this.mutate('root', (signed) => withRoleKey(signed, role, key));
  }

  /** Replaces the root by one of the next version that only its own new key signed. */
  async changeRootKey(): Promise<void> {
    const keypair = generateKeypair();
    const key = await issueRootCertificate(keypair, this.#collection);
    const root = this.read('root');
    const next = withRoleKey({ ...root, version: Number(root.version) + 1 }, 'root', key);
    await this.#sign('root', next, [[key, keypair]], true);
  }

  /** Signs a snapshot over the files as they are now. */
  async updateSnapshotHashes(): Promise<void> {
    const { store } = this.#notary;
    const meta: Record<string, JsonValue> = {};
    for (const role of store.roles(this.#collection)) {
      if (role !== 'snapshot' && role !== 'timestamp') meta[role] = toJson(fileMetaOf(this.bytes(role)));
    }
    await this.mutate('snapshot', (signed) => ({ ...signed, meta }));
  }

  /** Signs a timestamp over the snapshot as it is now. */
  async updateTimestampHash(): Promise<void> {
    const meta = { snapshot: toJson(fileMetaOf(this.bytes('snapshot'))) };
    await this.mutate('timestamp', (signed) => ({ ...signed, meta }));
  }

  /** Signs whatever a function makes of a role's content: `root`, `timestamp`, `snapshot`, `targets` or a delegation. */
  async mutate(role: string, change: (signed: RawMetadata) => JsonValue): Promise<void> {
    await this.#sign(role, change(this.read(role)), this.#signers(role));
  }

  /** Bytes of the newest version of a role. */
  bytes(role: string): Uint8Array {
    const file = this.#notary.store.versions(this.#collection, role).at(-1);
    if (file === undefined) throw new Error(`no ${role} of ${this.#collection}`);
    return file.bytes;
  }

  /** Signed part of the newest version of a role. */
  read(role: string): RawMetadata {
    return this.#envelope(role).signed;
  }

  /** Signatures of the newest version of a role. */
  signatures(role: string): readonly Signature[] {
    return this.#envelope(role).signatures;
  }

  /** Replaces the newest version of a role by content and signatures of any kind. */
  write(role: string, signed: JsonValue, signatures: readonly Signature[]): void {
    this.#put(role, envelope(signed, signatures));
  }

  /** Signs content with a key, whether or not the key belongs to the role. */
  async signature(
    signed: JsonValue,
    keypair: Keypair,
    key: PublicKey = keypair.publicKey,
  ): Promise<Signature> {
    const sig = Buffer.from(await keypair.sign(Buffer.from(canonicalJson(signed)))).toString('base64');
    return { keyid: tufKeyId(key), method: keypair.method, sig };
  }

  #envelope(role: string): { signed: RawMetadata; signatures: Signature[] } {
    return JSON.parse(Buffer.from(this.bytes(role)).toString('utf8'));
  }

  #put(role: string, bytes: Uint8Array): void {
    this.#notary.store.replace(this.#collection, role, bytes);
  }

  async #sign(
    role: string,
    signed: JsonValue,
    signers: readonly (readonly [PublicKey, Promise<Keypair> | Keypair])[],
    append = false,
  ): Promise<void> {
    const signatures: Signature[] = [];
    for (const [key, keypair] of signers) signatures.push(await this.signature(signed, await keypair, key));
    if (!append) return this.write(role, signed, signatures);
    const { version } = signed as { version: number };
    this.#notary.store.put(this.#collection, role, envelope(signed, signatures), version, new Date());
  }

  #signers(role: string): (readonly [PublicKey, Promise<Keypair> | Keypair])[] {
    // The server's own keys sign on, whatever the root says of them by now.
    if (role === 'snapshot' || role === 'timestamp') {
      return this.signatures(role).flatMap(({ keyid }) => {
        const keypair = this.#notary.store.keyById(this.#collection, role, keyid);
        return keypair === undefined ? [] : [[keypair.publicKey, keypair] as const];
      });
    }
    const base = role === 'root' || role === 'targets';
    const definer = this.read(base ? 'root' : parentRole(role)) as {
      keys?: Record<string, PublicKey>;
      roles?: Record<string, RoleKeys>;
      delegations?: { keys: Record<string, PublicKey>; roles: (RoleKeys & { name: string })[] };
    };
    const keys = (base ? definer.keys : definer.delegations?.keys) ?? {};
    const named = base ? definer.roles?.[role] : definer.delegations?.roles.find(({ name }) => name === role);
    return (named?.keyids ?? []).flatMap((id) => {
      const key = keys[id];
      return key === undefined ? [] : [[key, this.#keys.open(canonicalKeyId(key))] as const];
    });
  }
}

function envelope(signed: JsonValue, signatures: readonly Signature[]): Uint8Array {
  const list = signatures.map(({ keyid, method, sig }) => wireJson(canonicalJson({ keyid, method, sig })));
  return Buffer.from(`{"signed":${wireJson(canonicalJson(signed))},"signatures":[${list.join(',')}]}`);
}

function withRoleKey(signed: RawMetadata, role: string, key: PublicKey): RawMetadata {
  const id = tufKeyId(key);
  const keys = { ...(signed.keys as RawMetadata), [id]: key as unknown as JsonValue };
  const roles = { ...(signed.roles as RawMetadata), [role]: { keyids: [id], threshold: 1 } };
  return { ...signed, keys, roles };
}

function toJson(meta: FileMeta): JsonValue {
  return { hashes: { ...meta.hashes }, length: meta.length };
}
