import { createHash } from 'node:crypto';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { formatGoTime, parseGoTime } from '../json/go-time.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { certificateExpiry } from '../keys/root-certificate.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type { FileMeta, MetadataFile, RootMetadata, SnapshotMetadata } from '../metadata/types.ts';
import type { NotaryClient } from '../notary/client.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { authorityOf } from '../verify/signatures.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';
import type { UnsignedRole } from './draft.ts';
import { walkCollection } from './hash-walk.ts';
import { preflight } from './preflight.ts';
import { assemblePart, availableKeys, signWithStore, tellUnreadable } from './signing.ts';

/** What was published. */
export interface PublishResult {
  readonly collection: string;
  /** Roles that were sent. */
  readonly roles: readonly string[];
  /** Canonical ids of the keys that signed the targets and delegations sent. */
  readonly keyIds: readonly string[];
  /** Ids of the certificates in the root role: what a verifier pins. */
  readonly rootKeyIds: readonly string[];
  /** Versions now on the server, by role. */
  readonly versions: Readonly<Record<string, number>>;
  /** Earliest moment a part that a publisher must renew expires, root certificates included; RFC 3339. */
  readonly expires: string;
  /** Roles readers refuse now, because the keys that signed them were removed: sign them again, or `witness` them. */
  readonly invalidRoles: readonly string[];
  /** Whether this publish set the collection up. */
  readonly created: boolean;
}

/** What publishing needs beside the roles. */
export interface PublishContext extends OperationOptions {
  readonly collection: string;
  readonly client: NotaryClient;
  readonly keys: KeyStore;
  readonly now: () => Date;
  /** The root that will be current after the publish. */
  readonly root: RootMetadata;
  /** What is published now; absent for a new collection. */
  readonly base: Pick<VerifiedCollection, 'root' | 'snapshot'> | undefined;
}

const SNAPSHOT_LIFETIME_MS = 1095 * 86_400_000;

/** Signs roles with the keys of the store, and the snapshot when its key is there. */
export async function signParts(
  unsigned: readonly UnsignedRole[],
  context: PublishContext,
): Promise<PublishPart[]> {
  const parts: PublishPart[] = [];
  for (const role of unsigned) {
    for (const authority of role.authorities)
      await tellUnreadable(authority, context.keys, signalOf(context));
    parts.push(assemblePart(role, await signWithStore(role.signed, role.authorities, context.keys, context)));
  }
  return parts;
}

/**
 * Checks parts, sends them in one request, and reads the collection back by hash.
 *
 * @throws {@link TrustError} what {@link NotaryClient.publish} throws; `BROKEN_COLLECTION` when it cannot be read back
 */
export async function publishParts(
  unsigned: readonly UnsignedRole[],
  parts: readonly PublishPart[],
  context: PublishContext,
): Promise<{ result: PublishResult; verified: VerifiedCollection }> {
  const { collection, client, base } = context;
  const files = parts.map((part) => {
    const authorities = unsigned.find(({ role }) => role === part.role)?.authorities ?? [];
    return preflight(part, authorities);
  });
  const snapshot = await signSnapshot(parts, context);
  await client.publish(collection, snapshot === undefined ? parts : [...parts, snapshot], context);
  const root = parts.find(({ role }) => role === 'root');
  const rootFile = root === undefined ? base?.root : parseMetadata('root', root.bytes);
  if (rootFile === undefined)
    throw new TrustError('INVALID_OPTIONS', `publish ${collection}: a new collection needs a root`);
  const { verified, invalidRoles } = await walkCollection(collection, rootFile, {
    source: client,
    now: context.now,
    ...signalOf(context),
  });
  await checkPublished(files, verified);
  return {
    result: await describe(collection, files, verified, { created: base === undefined, invalidRoles }),
    verified,
  };
}

// Only a publisher who holds the snapshot key sends a snapshot; for the others the server signs it.
async function signSnapshot(
  parts: readonly PublishPart[],
  context: PublishContext,
): Promise<PublishPart | undefined> {
  const { keys, root, base, now } = context;
  const authority = authorityOf(root.roles.snapshot, root.keys);
  const available = await availableKeys(keys, context);
  await tellUnreadable(authority, keys, signalOf(context));
  if (![...authority.keys.values()].some((key) => available.has(canonicalKeyId(key)))) return undefined;
  const meta: Record<string, FileMeta> = { ...base?.snapshot.signed.meta };
  for (const { role, bytes } of parts) meta[role] = metaOf(bytes);
  const signed: SnapshotMetadata = {
    _type: 'Snapshot',
    expires: formatGoTime(new Date(now().getTime() + SNAPSHOT_LIFETIME_MS)),
    meta,
    version: (base?.snapshot.signed.version ?? 0) + 1,
  };
  const unsigned = { role: 'snapshot', signed, authorities: [authority] } as unknown as UnsignedRole;
  const part = assemblePart(unsigned, await signWithStore(signed, [authority], keys, context));
  preflight(part, [authority]);
  return part;
}

function metaOf(bytes: Uint8Array): FileMeta {
  const hash = (algorithm: string): string => createHash(algorithm).update(bytes).digest('base64');
  return { hashes: { sha256: hash('sha256'), sha512: hash('sha512') }, length: bytes.length };
}

// Somebody may have published after us; nobody may have lost our version.
async function checkPublished(files: readonly MetadataFile[], verified: VerifiedCollection): Promise<void> {
  for (const { role, signed } of files) {
    const current = role === 'root' ? verified.root : (await verified.role(role))?.file;
    if (current !== undefined && current.signed.version >= signed.version) continue;
    throw new TrustError(
      'BROKEN_COLLECTION',
      `publish ${verified.collection}: the server took ${role} but serves an older one`,
      {
        details: { expected: signed.version, received: current?.signed.version },
        hint: 'A cache between here and the server may hold the old files; verify again in a few minutes.',
      },
    );
  }
}

async function describe(
  collection: string,
  files: readonly MetadataFile[],
  verified: VerifiedCollection,
  outcome: Pick<PublishResult, 'created' | 'invalidRoles'>,
): Promise<PublishResult> {
  const { root, snapshot } = verified;
  const current = await verified.loaded();
  const certificates = (root.signed.roles.root.keyids ?? []).flatMap((id) => {
    const key = root.signed.keys[id];
    return key === undefined ? [] : [certificateExpiry(key)?.getTime() ?? Number.POSITIVE_INFINITY];
  });
  const targets = current.map(({ file }) => file);
  const published = current.filter(({ file }) => files.some(({ role }) => role === file.role));
  const expiries = [root, snapshot, ...targets].map(({ signed }) => parseGoTime(signed.expires));
  return {
    collection,
    roles: files.map(({ role }) => role),
    keyIds: [...new Set(published.flatMap(({ signedBy }) => signedBy.map(({ keyId }) => keyId)))],
    rootKeyIds: root.signed.roles.root.keyids ?? [],
    versions: Object.fromEntries(
      [root, verified.timestamp, snapshot, ...targets].map(({ role, signed }) => [role, signed.version]),
    ),
    expires: new Date(Math.min(...expiries, ...certificates)).toISOString(),
    ...outcome,
  };
}

function signalOf({ signal }: OperationOptions): OperationOptions {
  return signal === undefined ? {} : { signal };
}
