/** Kinds of key a metadata file can hold. */
export type KeyType = 'ecdsa' | 'ed25519' | 'rsa' | 'ecdsa-x509' | 'rsa-x509';

/** A public key as metadata holds it; its TUF id is the sha256 of exactly this object, `private: null` included. */
export interface PublicKey {
  readonly keytype: string;
  readonly keyval: {
    readonly private: null;
    /** Base64 of SPKI DER (`ecdsa`, `rsa`), of 32 raw bytes (`ed25519`) or of PEM certificates (`*-x509`). */
    readonly public: string;
  };
}

/** Signature schemes of the format. */
export type SignatureMethod = 'ecdsa' | 'eddsa' | 'rsapss' | 'rsapkcs1v15';

/** One signature of a metadata file, as it travels. */
export interface Signature {
  /** TUF id of the key. */
  readonly keyid: string;
  readonly method: string;
  /** Base64. */
  readonly sig: string;
}

/** Members every metadata file has. */
export interface MetadataBase {
  /** RFC 3339; kept as written, because it is part of what is signed. */
  readonly expires: string;
  readonly version: number;
}

/** Which keys may sign a role, and how many of them must. */
export interface RoleKeys {
  readonly keyids: readonly string[] | null;
  readonly threshold: number;
}

/** The four roles every collection has. */
export type BaseRole = 'root' | 'targets' | 'snapshot' | 'timestamp';

/** Keys and roles of a collection. */
export interface RootMetadata extends MetadataBase {
  readonly _type: 'Root';
  readonly consistent_snapshot: boolean;
  readonly keys: Readonly<Record<string, PublicKey>>;
  readonly roles: Readonly<Record<BaseRole, RoleKeys>>;
}

/** Length and hashes of a file or an image. Hashes are base64, not hexadecimal. */
export interface FileMeta {
  readonly hashes: Readonly<Record<string, string>>;
  readonly length: number;
}

/** What a tag stands for. */
export interface TargetMeta extends FileMeta {
  /** Free data of the signer; `undefined` is absent, `null` is written. */
  readonly custom?: unknown;
}

/** A role that another role's file defines. */
export interface DelegationRole extends RoleKeys {
  /** `targets/<name>`, below the path of the file that defines it. */
  readonly name: string;
  /** Prefixes of target names the role may sign; absent means none, `""` means all. */
  readonly paths?: readonly string[] | null;
}

/** Tags of a role, and the roles it delegates to. */
export interface TargetsMetadata extends MetadataBase {
  readonly _type: 'Targets';
  readonly delegations: {
    readonly keys: Readonly<Record<string, PublicKey>> | null;
    readonly roles: readonly DelegationRole[] | null;
  };
  readonly targets: Readonly<Record<string, TargetMeta>> | null;
}

/** Hashes of the current file of every role. */
export interface SnapshotMetadata extends MetadataBase {
  readonly _type: 'Snapshot';
  readonly meta: Readonly<Record<string, FileMeta>>;
}

/** Hash of the current snapshot; short-lived. */
export interface TimestampMetadata extends MetadataBase {
  readonly _type: 'Timestamp';
  readonly meta: Readonly<Record<string, FileMeta>>;
}

/** The signed part of any metadata file. */
export type Metadata = RootMetadata | TargetsMetadata | SnapshotMetadata | TimestampMetadata;

/** A metadata file: what it says beside the exact bytes that say it. */
export interface MetadataFile<T extends Metadata = Metadata> {
  readonly role: string;
  /** As it travels; hashes in parent files are over these. */
  readonly bytes: Uint8Array;
  /** Canonical JSON of the signed part; signatures are over these. */
  readonly signedBytes: Uint8Array;
  readonly signed: T;
  readonly signatures: readonly Signature[];
}
