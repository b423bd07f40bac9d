import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { formatGoTime, parseGoTime } from '../json/go-time.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { checkCollectionName } from '../metadata/names.ts';
import { parseMetadata, serializeMetadata } from '../metadata/parse.ts';
import type { MetadataFile, RootMetadata, SnapshotMetadata, TargetsMetadata } from '../metadata/types.ts';
import type { NotaryClient, NotaryServer } from '../notary/client.ts';
import { withNotaryClient } from '../notary/server.ts';
import { matchesMeta } from '../verify/file-checks.ts';
import { isTrustedRoot, type RootTrust, verifyRootItself } from '../verify/root-trust.ts';
import { authorityOf, type RoleAuthority, verifySignatures } from '../verify/signatures.ts';
import type { UnsignedRole } from './draft.ts';
import { findExpiredSnapshot } from './expired-snapshot.ts';
import { type PublishResult, publishParts, signParts } from './publish.ts';
import { ownRootKeys } from './signing.ts';

/** How to heal. */
export interface HealOptions extends OperationOptions {
  readonly server: NotaryServer | NotaryClient;
  readonly keys: KeyStore;
  /** Why the root is trusted. @defaultValue the root keys in `keys` */
  readonly root?: RootTrust;
  readonly now?: () => Date;
}

const LIFETIME_MS = { root: 3650 * 86_400_000, targets: 1095 * 86_400_000 };
/** Roles followed from `targets` down. */
const MAX_ROLES = 1000;

/**
 * Repairs a collection that the server cannot serve: reads what is stored under the roles' names, verifies its signatures,
 * and publishes the content again. Two things bring a collection there:
 *
 * - Somebody published files the server writes differently; they are published in the form it keeps.
 * - A snapshot whose key the publisher holds expired. notary-server then wants to renew it, cannot, and answers 500 to every
 *   reader and publisher; it is signed again, and root and targets too when they expired with it.
 *
 * @returns what was published; `undefined` when nothing is broken
 * @throws {@link TrustError} `ROOT_MISMATCH`, what `verifySignatures` throws, `KEY_NOT_FOUND` for a broken role whose
 *   keys are elsewhere, and what publishing throws
 */
export async function healCollection(
  collection: string,
  options: HealOptions,
): Promise<PublishResult | undefined> {
  checkCollectionName(collection);
  const { keys, now = () => new Date(), signal } = options;
  const own = signal === undefined ? {} : { signal };
  return withNotaryClient(options.server, async (client) => {
    const root = (await read(client, 'root')) as MetadataFile<RootMetadata>;
    const snapshot = (await read(client, 'snapshot')) as MetadataFile<SnapshotMetadata>;
    const signers = verifyRootItself(root, collection, now());
    if (!isTrustedRoot(root, collection, options.root ?? (await ownRootKeys(keys, own)), signers)) {
      throw new TrustError('ROOT_MISMATCH', `heal ${collection}: its root is not the pinned one`);
    }
    const hasExpired = ({ signed }: MetadataFile): boolean => parseGoTime(signed.expires) <= now().getTime();
    const isOverdue = hasExpired(snapshot);
    if (isOverdue) verifySignatures(snapshot, authorityOf(root.signed.roles.snapshot, root.signed.keys));
    const unsigned: UnsignedRole[] = [];
    const rootAuthority = authorityOf(root.signed.roles.root, root.signed.keys);
    if (isBroken(root, snapshot) || (isOverdue && hasExpired(root)))
      unsigned.push(again(root, rootAuthority, LIFETIME_MS.root));
    const targets = authorityOf(root.signed.roles.targets, root.signed.keys);
    const queue: [string, RoleAuthority][] = [['targets', targets]];
    for (const [role, authority] of queue) {
      if (queue.length > MAX_ROLES)
        throw new TrustError('LIMIT_EXCEEDED', `heal ${collection}: too many roles`);
      const file = (await read(client, role)) as MetadataFile<TargetsMetadata> | undefined;
      if (file === undefined) continue;
      verifySignatures(file, authority);
      const isDue = isOverdue && role === 'targets' && hasExpired(file);
      if (isBroken(file, snapshot) || isDue) unsigned.push(again(file, authority, LIFETIME_MS.targets));
      const { delegations } = file.signed;
      for (const delegation of delegations.roles ?? [])
        queue.push([delegation.name, authorityOf(delegation, delegations.keys)]);
    }
    const isSnapshotDue = isOverdue || (await isSnapshotBroken(client, snapshot));
    if (unsigned.length === 0 && !isSnapshotDue) return undefined;
    const context = { ...own, collection, client, keys, now, root: root.signed, base: { root, snapshot } };
    const { result } = await publishParts(unsigned, await signParts(unsigned, context), context);
    return result;
  });

  async function read(client: NotaryClient, role: string): Promise<MetadataFile | undefined> {
    const fetched = client.fetchMetadata(collection, role, own);
    const bytes = await (role === 'snapshot' ? fetched.catch(expiredSnapshot(client)) : fetched);
    if (bytes !== undefined) return parseMetadata(role, bytes, { anyForm: true });
    if (role !== 'root' && role !== 'snapshot') return undefined;
    throw new TrustError('NOT_SIGNED', `heal ${collection}: the server has no ${role}`);
  }

  /** Takes the snapshot the server cannot renew, or throws on: a disturbance is no reason to sign anything. */
  function expiredSnapshot(source: NotaryClient) {
    return async (error: unknown): Promise<Uint8Array> => {
      if (!TrustError.is(error) || error.code !== 'UNREACHABLE') throw error;
      const bytes = await findExpiredSnapshot(collection, { source, now, ...own });
      if (bytes === undefined) throw error;
      return bytes;
    };
  }

  async function isSnapshotBroken(
    client: NotaryClient,
    snapshot: MetadataFile<SnapshotMetadata>,
  ): Promise<boolean> {
    const timestamp = await client.fetchMetadata(collection, 'timestamp', own);
    if (timestamp === undefined) return true;
    const meta = parseMetadata('timestamp', timestamp, { anyForm: true }).signed.meta.snapshot;
    return meta === undefined || !matchesMeta(snapshot.bytes, meta);
  }

  function again<T extends RootMetadata | TargetsMetadata>(
    file: MetadataFile<T>,
    authority: RoleAuthority,
    lifetimeMs: number,
  ): UnsignedRole {
    const expires = formatGoTime(new Date(now().getTime() + lifetimeMs));
    const signed = { ...file.signed, expires, version: file.signed.version + 1 };
    return { role: file.role, signed, authorities: [authority] };
  }
}

// Broken is what the snapshot does not name, and what the server would write in another way the next time.
function isBroken(file: MetadataFile, snapshot: MetadataFile<SnapshotMetadata>): boolean {
  const meta = Object.hasOwn(snapshot.signed.meta, file.role) ? snapshot.signed.meta[file.role] : undefined;
  const clean = Buffer.from(serializeMetadata(file.signed, file.signatures)).equals(file.bytes);
  return !clean || meta === undefined || !matchesMeta(file.bytes, meta);
}
