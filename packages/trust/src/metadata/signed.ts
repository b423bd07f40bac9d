import type { JsonValue } from '../json/canonical-json.ts';
import { parseGoTime } from '../json/go-time.ts';
import type { JsonObject, JsonReader } from './json-reader.ts';
import { isDelegationName, parentRole } from './names.ts';
import type {
  DelegationRole,
  FileMeta,
  Metadata,
  PublicKey,
  RoleKeys,
  RootMetadata,
  TargetMeta,
  TargetsMetadata,
} from './types.ts';

const TYPES: ReadonlyMap<string, string> = new Map([
  ['root', 'Root'],
  ['snapshot', 'Snapshot'],
  ['timestamp', 'Timestamp'],
]);

/**
 * Reads the signed part of a file: the model of its role.
 *
 * @throws {@link TrustError} `MALFORMED`
 */
export function readSigned(reader: JsonReader, role: string, signed: JsonObject): Metadata {
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
  reader: JsonReader,
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
  reader: JsonReader,
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

function readDelegation(reader: JsonReader, parent: string, value: JsonValue, path: string): DelegationRole {
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

function readRoleKeys(reader: JsonReader, object: JsonObject, path: string): RoleKeys {
  return {
    keyids: reader.nullable(object.keyids, (list) =>
      reader.array(list, `${path}.keyids`).map((item) => reader.keyId(item, `${path}.keyids`)),
    ),
    threshold: reader.integer(object.threshold, `${path}.threshold`, 1),
  };
}

function readKey(reader: JsonReader, value: JsonValue, path: string): PublicKey {
  const object = reader.object(value, path);
  const keyval = reader.object(object.keyval, `${path}.keyval`);
  if (keyval.private !== null) throw reader.fail(`${path}.keyval.private`, 'expected null');
  return {
    keytype: reader.string(object.keytype, `${path}.keytype`),
    keyval: { private: null, public: reader.base64(keyval.public, `${path}.keyval.public`) },
  };
}

function readFileMeta(reader: JsonReader, value: JsonValue, path: string): FileMeta {
  const object = reader.object(value, path);
  const hashes = reader.record(object.hashes, `${path}.hashes`, (item, at) => reader.base64(item, at));
  return { hashes, length: reader.integer(object.length, `${path}.length`, 0) };
}
