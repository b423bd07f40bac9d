import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { formatGoTime, parseGoTime } from '../json/go-time.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { checkCollectionName } from '../metadata/names.ts';
import { parseMetadata, serializeMetadata } from '../metadata/parse.ts';
import type { MetadataFile, RootMetadata, SnapshotMetadata, TargetsMetadata } from '../metadata/types.ts';
import type { NotaryClient, NotaryServer } from '../notary/client.ts';
import { withNotaryClient } from '../notary/server.ts';
import { isTrustedRoot, type RootTrust, verifyRootItself } from '../verify/root-trust.ts';
import { authorityOf, type RoleAuthority, verifySignatures } from '../verify/signatures.ts';
import { matchesMeta } from '../verify/verified-collection.ts';
import type { UnsignedRole } from './draft.ts';
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

/** Snapshots looked for under a number: more than a collection is ever published. */
const MAX_SNAPSHOTS = 2 ** 24;

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
    verifyRootItself(root, collection, now());
    if (!isTrustedRoot(root, collection, options.root ?? (await ownRootKeys(keys, own)))) {
      throw new TrustError('ROOT_MISMATCH', `heal ${collection}: its root is not the pinned one`);
    }
    const { snapshot, isOverdue } = await readSnapshot(client, root);
    const isOver = ({ signed }: MetadataFile): boolean =>
      isOverdue && parseGoTime(signed.expires) <= now().getTime();
    const unsigned: UnsignedRole[] = [];
    const rootAuthority = authorityOf(root.signed.roles.root, root.signed.keys);
    if (isBroken(root, snapshot) || isOver(root)) unsigned.push(again(root, rootAuthority, LIFETIME_MS.root));
    const targets = authorityOf(root.signed.roles.targets, root.signed.keys);
    const queue: [string, RoleAuthority][] = [['targets', targets]];
    for (const [role, authority] of queue) {
      if (queue.length > MAX_ROLES)
        throw new TrustError('LIMIT_EXCEEDED', `heal ${collection}: too many roles`);
      const file = (await read(client, role)) as MetadataFile<TargetsMetadata> | undefined;
      if (file === undefined) continue;
      verifySignatures(file, authority);
      const isDue = role === 'targets' && isOver(file);
      if (isBroken(file, snapshot) || isDue) unsigned.push(again(file, authority, LIFETIME_MS.targets));
      const { delegations } = file.signed;
      queue.push(
        ...(delegations.roles ?? []).map((delegation): [string, RoleAuthority] => [
          delegation.name,
          authorityOf(delegation, delegations.keys),
        ]),
      );
    }
    const isSnapshotDue = isOverdue || (await isSnapshotBroken(client, snapshot));
    if (unsigned.length === 0 && !isSnapshotDue) return undefined;
    const context = { ...own, collection, client, keys, now, root: root.signed, base: { root, snapshot } };
    const { result } = await publishParts(unsigned, await signParts(unsigned, context), context);
    return result;
  });

  async function read(client: NotaryClient, role: string): Promise<MetadataFile | undefined> {
    const bytes = await client.fetchMetadata(collection, role, own);
    if (bytes !== undefined) return parseMetadata(role, bytes, { anyForm: true });
    if (role !== 'root' && role !== 'snapshot') return undefined;
    throw new TrustError('NOT_SIGNED', `heal ${collection}: the server has no ${role}`);
  }

  /** The newest snapshot, and whether the server fails because it expired. */
  async function readSnapshot(
    client: NotaryClient,
    root: MetadataFile<RootMetadata>,
  ): Promise<{ snapshot: MetadataFile<SnapshotMetadata>; isOverdue: boolean }> {
    try {
      const snapshot = (await read(client, 'snapshot')) as MetadataFile<SnapshotMetadata>;
      return { snapshot, isOverdue: false };
    } catch (error) {
      if (!TrustError.is(error) || error.code !== 'UNREACHABLE') throw error;
      const snapshot = await newestSnapshot(client);
      // An answer that was only disturbed is no reason to sign anything.
      if (snapshot === undefined || parseGoTime(snapshot.signed.expires) > now().getTime()) throw error;
      verifySignatures(snapshot, authorityOf(root.signed.roles.snapshot, root.signed.keys));
      return { snapshot, isOverdue: true };
    }
  }

  // Old versions are served as they are. They are numbered without gaps, so the last one is found by halving.
  async function newestSnapshot(client: NotaryClient): Promise<MetadataFile<SnapshotMetadata> | undefined> {
    const fetch = (version: number): Promise<Uint8Array | undefined> =>
      client.fetchMetadata(collection, 'snapshot', { version, ...own });
    let [newest, bytes] = [0, undefined as Uint8Array | undefined];
    // The first snapshot notary publishes is its second.
    for (let step = 2; step <= MAX_SNAPSHOTS; step *= 2) {
      const found = await fetch(step);
      if (found === undefined) break;
      [newest, bytes] = [step, found];
    }
    for (let step = Math.max(newest / 2, 1); step >= 1; step /= 2) {
      const found = await fetch(newest + step);
      if (found !== undefined) [newest, bytes] = [newest + step, found];
    }
    return bytes === undefined ? undefined : parseMetadata('snapshot', bytes, { anyForm: true });
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
