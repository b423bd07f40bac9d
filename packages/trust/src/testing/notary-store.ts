import { createHash } from 'node:crypto';
import { formatGoTime } from '../json/go-time.ts';
import { generateKeypair, type KeyAlgorithm, type SoftwareKeypair } from '../keys/keypair.ts';
import { tufKeyId } from '../keys/public-key.ts';
import { type MetadataOf, parseMetadata, serializeMetadata, signedJson } from '../metadata/parse.ts';
import type {
  FileMeta,
  MetadataFile,
  RootMetadata,
  SnapshotMetadata,
  TimestampMetadata,
} from '../metadata/types.ts';

/** A stored version of a metadata file. */
export interface StoredFile {
  readonly role: string;
  readonly version: number;
  readonly bytes: Uint8Array;
  readonly sha256: string;
  readonly storedAt: Date;
}

/** What a notary server keeps. */
export class NotaryStore {
  readonly #files = new Map<string, Map<string, StoredFile[]>>();
  readonly #keys = new Map<string, SoftwareKeypair[]>();
  readonly #algorithm: KeyAlgorithm;

  constructor(algorithm: KeyAlgorithm) {
    this.#algorithm = algorithm;
  }

  /** All stored versions of a role, oldest first. */
  versions(collection: string, role: string): readonly StoredFile[] {
    return this.#files.get(collection)?.get(role) ?? [];
  }

  /** Roles with at least one file. */
  roles(collection: string): string[] {
    return [...(this.#files.get(collection)?.keys() ?? [])];
  }

  current<R extends string>(collection: string, role: R): MetadataFile<MetadataOf<R>> | undefined {
    const bytes = this.versions(collection, role).at(-1)?.bytes;
    return bytes === undefined ? undefined : parseMetadata(role, bytes);
  }

  put(collection: string, role: string, bytes: Uint8Array, version: number, storedAt: Date): void {
    const roles = this.#files.get(collection) ?? new Map<string, StoredFile[]>();
    this.#files.set(collection, roles);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    roles.set(role, [...(roles.get(role) ?? []), { role, version, bytes, sha256, storedAt }]);
  }

  /** Takes the newest version of a role back, for servers that lie. */
  pop(collection: string, role: string): StoredFile | undefined {
    const files = this.#files.get(collection)?.get(role);
    return files?.pop();
  }

  /** Puts other bytes in the place of the newest version of a role; `undefined` takes all its versions away. */
  replace(collection: string, role: string, bytes: Uint8Array | undefined): void {
    const roles = this.#files.get(collection);
    const newest = roles?.get(role)?.at(-1);
    if (bytes === undefined) roles?.delete(role);
    if (bytes === undefined || newest === undefined) return;
    this.pop(collection, role);
    this.put(collection, role, bytes, newest.version, newest.storedAt);
  }

  delete(collection: string): void {
    this.#files.delete(collection);
    for (const role of ['snapshot', 'timestamp']) this.#keys.delete(`${role} ${collection}`);
  }

  /** The key a root names for a role, when it is here. */
  namedKey(
    collection: string,
    role: 'snapshot' | 'timestamp',
    root: RootMetadata,
  ): SoftwareKeypair | undefined {
    const ids = root.roles[role].keyids ?? [];
    return this.#keysOf(collection, role).find((key) => ids.includes(tufKeyId(key.publicKey)));
  }

  /** The key of a TUF id, when it is here. */
  keyById(collection: string, role: 'snapshot' | 'timestamp', tufId: string): SoftwareKeypair | undefined {
    return this.#keysOf(collection, role).find((key) => tufKeyId(key.publicKey) === tufId);
  }

  /** The key to hand out for a role: the one the root names, else the newest, else a new one. */
  offeredKey(collection: string, role: 'snapshot' | 'timestamp'): SoftwareKeypair {
    const root = this.current(collection, 'root');
    const named = root === undefined ? undefined : this.namedKey(collection, role, root.signed);
    return named ?? this.#keysOf(collection, role).at(-1) ?? this.createKey(collection, role);
  }

  createKey(collection: string, role: 'snapshot' | 'timestamp'): SoftwareKeypair {
    const keypair = generateKeypair(this.#algorithm);
    this.#keys.set(`${role} ${collection}`, [...this.#keysOf(collection, role), keypair]);
    return keypair;
  }

  #keysOf(collection: string, role: string): readonly SoftwareKeypair[] {
    return this.#keys.get(`${role} ${collection}`) ?? [];
  }
}

/** Signs the next snapshot over given files. */
export async function signSnapshot(
  key: SoftwareKeypair,
  previous: SnapshotMetadata | undefined,
  meta: Readonly<Record<string, FileMeta>>,
  expires: Date,
): Promise<Uint8Array> {
  const version = (previous?.version ?? 0) + 1;
  return signFile(key, { _type: 'Snapshot', expires: formatGoTime(expires), meta, version });
}

/** Signs the next timestamp over a snapshot. */
export async function signTimestamp(
  key: SoftwareKeypair,
  previous: TimestampMetadata | undefined,
  snapshot: Uint8Array,
  expires: Date,
): Promise<Uint8Array> {
  const version = (previous?.version ?? 0) + 1;
  const meta = { snapshot: fileMetaOf(snapshot) };
  return signFile(key, { _type: 'Timestamp', expires: formatGoTime(expires), meta, version });
}

/** Length and hashes of bytes, as a snapshot lists them. */
export function fileMetaOf(bytes: Uint8Array): FileMeta {
  const hash = (algorithm: string): string => createHash(algorithm).update(bytes).digest('base64');
  return { hashes: { sha256: hash('sha256'), sha512: hash('sha512') }, length: bytes.length };
}

async function signFile(
  key: SoftwareKeypair,
  signed: SnapshotMetadata | TimestampMetadata,
): Promise<Uint8Array> {
  const sig = Buffer.from(await key.sign(Buffer.from(signedJson(signed)))).toString('base64');
  return serializeMetadata(signed, [{ keyid: tufKeyId(key.publicKey), method: key.method, sig }]);
}
