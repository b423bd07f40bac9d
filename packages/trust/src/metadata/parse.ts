import { TrustError } from '../errors.ts';
import { canonicalJson, type JsonValue, wireJson } from '../json/canonical-json.ts';
import { parseGoTime } from '../json/go-time.ts';
import { isDelegationName, parentRole } from './names.ts';
import type {
  DelegationRole,
  FileMeta,
  Metadata,
  MetadataFile,
  PublicKey,
  RoleKeys,
  RootMetadata,
  Signature,
  SnapshotMetadata,
  TargetMeta,
  TargetsMetadata,
  TimestampMetadata,
} from './types.ts';

/** More signatures than this on one file are refused before any is verified. */
export const MAX_SIGNATURES = 128;

const TYPES: ReadonlyMap<string, string> = new Map([
  ['root', 'Root'],
  ['snapshot', 'Snapshot'],
  ['timestamp', 'Timestamp'],
]);

/** The model of a role: `root`, `snapshot` and `timestamp` have their own, every other role is a targets file. */
export type MetadataOf<R extends string> = R extends 'root'
  ? RootMetadata
  : R extends 'snapshot'
    ? SnapshotMetadata
    : R extends 'timestamp'
      ? TimestampMetadata
      : TargetsMetadata;

type JsonObject = { readonly [name: string]: JsonValue };

/**
 * Parses a metadata file. Only the one wire form that Notary itself writes is accepted: a file with white space,
 * duplicate or unsigned extra members, unsorted keys or other escapes is not what was signed, and a server that
 * re-serialises it would break the collection.
 *
 * @param options - `anyForm` accepts other spellings of the same content, in order to repair them.
 * @throws {@link TrustError} `MALFORMED`, or `LIMIT_EXCEEDED` for more than 128 signatures.
 */
export function parseMetadata<R extends string>(
  role: R,
  bytes: Uint8Array,
  options: { readonly anyForm?: boolean } = {},
): MetadataFile<MetadataOf<R>> {
  const text = decode(role, bytes);
  const reader = new Reader(role);
  const envelope = reader.object(parseJson(role, text), 'file');
  const signed = reader.object(envelope.signed, 'signed');
  const signatures = reader.array(envelope.signatures, 'signatures');
  if (signatures.length > MAX_SIGNATURES) {
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `read ${role}: ${signatures.length} signatures, at most ${MAX_SIGNATURES} are accepted`,
    );
  }
  const parsed = signatures.map((item, index) => readSignature(reader, item, `signatures[${index}]`));
  const canonical = canonicalJson(signed);
  if (options.anyForm !== true && envelopeText(canonical, parsed) !== text) {
    throw new TrustError('MALFORMED', `read ${role}: not in canonical form`, {
      hint: 'The file was altered or written by a tool that is not compatible with Notary.',
    });
  }
  return {
    role,
    bytes,
    signedBytes: Buffer.from(canonical),
    signed: readSigned(reader, role, signed) as MetadataOf<R>,
    signatures: parsed,
  };
}

/** Writes the exact bytes of a metadata file. */
export function serializeMetadata(signed: Metadata, signatures: readonly Signature[]): Uint8Array {
  return Buffer.from(envelopeText(signedJson(signed), signatures));
}

/** Canonical JSON of the signed part, the text that is signed. */
export function signedJson(signed: Metadata): string {
  return canonicalJson(dropUndefined(signed) as JsonValue);
}

function envelopeText(canonical: string, signatures: readonly Signature[]): string {
  const list = signatures.map(({ keyid, method, sig }) => wireJson(canonicalJson({ keyid, method, sig })));
  return `{"signed":${wireJson(canonical)},"signatures":[${list.join(',')}]}`;
}

// An optional member that is undefined is absent; null stays null.
function dropUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropUndefined);
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) copy[name] = dropUndefined(member);
  }
  return copy;
}

function decode(role: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrustError('MALFORMED', `read ${role}: not UTF-8`, { cause });
  }
}

function parseJson(role: string, text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    // The parser's own message quotes the content; the content is not ours to print.
    throw new TrustError(
      'MALFORMED',
      `read ${role}: not JSON (starts with ${JSON.stringify(text.slice(0, 16))})`,
    );
  }
}

function readSignature(reader: Reader, value: JsonValue, path: string): Signature {
  const object = reader.object(value, path);
  return {
    keyid: reader.keyId(object.keyid, `${path}.keyid`),
    method: reader.string(object.method, `${path}.method`),
    sig: reader.base64(object.sig, `${path}.sig`),
  };
}

function readSigned(reader: Reader, role: string, signed: JsonObject): Metadata {
  const type = TYPES.get(role) ?? 'Targets';
  if (signed._type !== type) {
    throw reader.fail(
      'signed._type',
      `expected ${type}, received ${JSON.stringify(signed._type)?.slice(0, 32)}`,
    );
  }
  const base = {
    expires: reader.string(signed.expires, 'signed.expires'),
    version: reader.integer(signed.version, 'signed.version', 1),
  };
  parseGoTime(base.expires);
  if (role === 'root') return { ...base, _type: 'Root', ...readRoot(reader, signed) };
  if (role === 'snapshot' || role === 'timestamp') {
    const meta = reader.record(signed.meta, 'signed.meta', (item, path) => readFileMeta(reader, item, path));
    for (const name of role === 'snapshot' ? ['root', 'targets'] : ['snapshot']) {
      if (!Object.hasOwn(meta, name)) throw reader.fail('signed.meta', `${name} is missing`);
    }
    return { ...base, _type: type as 'Snapshot', meta };
  }
  return { ...base, _type: 'Targets', ...readTargets(reader, role, signed) };
}

function readRoot(
  reader: Reader,
  signed: JsonObject,
): Pick<RootMetadata, 'consistent_snapshot' | 'keys' | 'roles'> {
  if (typeof signed.consistent_snapshot !== 'boolean') {
    throw reader.fail('signed.consistent_snapshot', 'expected a boolean');
  }
  const keys = reader.record(signed.keys, 'signed.keys', (item, path) => readKey(reader, item, path));
  const roles = reader.object(signed.roles, 'signed.roles');
  const read = (name: string): RoleKeys => {
    const path = `signed.roles.${name}`;
    const roleKeys = readRoleKeys(reader, reader.object(roles[name], path), path);
    for (const id of roleKeys.keyids ?? []) {
      if (!Object.hasOwn(keys, id)) throw reader.fail(path, `key ${id.slice(0, 12)} is not in signed.keys`);
    }
    return roleKeys;
  };
  return {
    consistent_snapshot: signed.consistent_snapshot,
    keys,
    roles: {
      root: read('root'),
      snapshot: read('snapshot'),
      targets: read('targets'),
      timestamp: read('timestamp'),
    },
  };
}

function readTargets(
  reader: Reader,
  role: string,
  signed: JsonObject,
): Pick<TargetsMetadata, 'delegations' | 'targets'> {
  const delegations = reader.object(signed.delegations, 'signed.delegations');
  return {
    delegations: {
      keys: reader.nullable(delegations.keys, (value) =>
        reader.record(value, 'signed.delegations.keys', (item, path) => readKey(reader, item, path)),
      ),
      roles: reader.nullable(delegations.roles, (value) =>
        reader
          .array(value, 'signed.delegations.roles')
          .map((item, index) => readDelegation(reader, role, item, `signed.delegations.roles[${index}]`)),
      ),
    },
    targets: reader.nullable(signed.targets, (value) =>
      reader.record(value, 'signed.targets', (item, path): TargetMeta => {
        const object = reader.object(item, path);
        const meta = readFileMeta(reader, object, path);
        return Object.hasOwn(object, 'custom') ? { custom: object.custom, ...meta } : meta;
      }),
    ),
  };
}

function readDelegation(reader: Reader, parent: string, value: JsonValue, path: string): DelegationRole {
  const object = reader.object(value, path);
  const name = reader.string(object.name, `${path}.name`);
  if (!isDelegationName(name) || parentRole(name) !== parent) {
    throw reader.fail(`${path}.name`, `${JSON.stringify(name.slice(0, 80))} is not a role below ${parent}`);
  }
  const roleKeys = readRoleKeys(reader, object, path);
  if (!Object.hasOwn(object, 'paths')) return { ...roleKeys, name };
  const paths = reader.nullable(object.paths, (list) =>
    reader.array(list, `${path}.paths`).map((item) => reader.string(item, `${path}.paths`)),
  );
  return { ...roleKeys, name, paths };
}

function readRoleKeys(reader: Reader, object: JsonObject, path: string): RoleKeys {
  return {
    keyids: reader.nullable(object.keyids, (list) =>
      reader.array(list, `${path}.keyids`).map((item) => reader.keyId(item, `${path}.keyids`)),
    ),
    threshold: reader.integer(object.threshold, `${path}.threshold`, 1),
  };
}

function readKey(reader: Reader, value: JsonValue, path: string): PublicKey {
  const object = reader.object(value, path);
  const keyval = reader.object(object.keyval, `${path}.keyval`);
  if (keyval.private !== null) throw reader.fail(`${path}.keyval.private`, 'expected null');
  return {
    keytype: reader.string(object.keytype, `${path}.keytype`),
    keyval: { private: null, public: reader.base64(keyval.public, `${path}.keyval.public`) },
  };
}

function readFileMeta(reader: Reader, value: JsonValue, path: string): FileMeta {
  const object = reader.object(value, path);
  const hashes = reader.record(object.hashes, `${path}.hashes`, (item, at) => reader.base64(item, at));
  return { hashes, length: reader.integer(object.length, `${path}.length`, 0) };
}

/** Reads JSON values and says where one is not what it should be. */
class Reader {
  readonly #role: string;

  constructor(role: string) {
    this.#role = role;
  }

  fail(path: string, reason: string): TrustError {
    return new TrustError('MALFORMED', `read ${this.#role}: ${path}: ${reason}`);
  }

  object(value: JsonValue | undefined, path: string): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    throw this.fail(path, 'expected an object');
  }

  array(value: JsonValue | undefined, path: string): readonly JsonValue[] {
    if (Array.isArray(value)) return value as readonly JsonValue[];
    throw this.fail(path, 'expected an array');
  }

  string(value: JsonValue | undefined, path: string): string {
    if (typeof value === 'string') return value;
    throw this.fail(path, 'expected a string');
  }

  integer(value: JsonValue | undefined, path: string, minimum: number): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum) return value;
    throw this.fail(path, `expected a whole number of at least ${minimum}`);
  }

  base64(value: JsonValue | undefined, path: string): string {
    const text = this.string(value, path);
    // One spelling only: Go writes what it decoded, so any other spelling changes on the server.
    if (Buffer.from(text, 'base64').toString('base64') === text) return text;
    throw this.fail(path, 'expected base64');
  }

  keyId(value: JsonValue | undefined, path: string): string {
    const text = this.string(value, path);
    if (/^[0-9a-f]{64}$/.test(text)) return text;
    throw this.fail(path, 'expected a key id of 64 hexadecimal characters');
  }

  nullable<T>(value: JsonValue | undefined, read: (value: JsonValue | undefined) => T): T | null {
    return value === null ? null : read(value);
  }

  /** Members keep no prototype: a target may be named `__proto__`. */
  record<T>(
    value: JsonValue | undefined,
    path: string,
    read: (value: JsonValue, path: string) => T,
  ): Record<string, T> {
    const result: Record<string, T> = Object.create(null);
    for (const [name, item] of Object.entries(this.object(value, path))) {
      result[name] = read(item, `${path}[${JSON.stringify(name.slice(0, 80))}]`);
    }
    return result;
  }
}
