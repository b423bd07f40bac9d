import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import { formatGoTime } from '../json/go-time.ts';
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

/**
 * Repairs a collection that the server cannot serve, because somebody published files it writes differently: reads what is
 * stored under the roles' names, verifies its signatures, and publishes the content again in the form the server keeps.
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
    const unsigned: UnsignedRole[] = [];
    const rootAuthority = authorityOf(root.signed.roles.root, root.signed.keys);
    if (isBroken(root, snapshot)) unsigned.push(again(root, rootAuthority, LIFETIME_MS.root));
    const targets = authorityOf(root.signed.roles.targets, root.signed.keys);
    const queue: [string, RoleAuthority][] = [['targets', targets]];
    for (const [role, authority] of queue) {
      if (queue.length > MAX_ROLES)
        throw new TrustError('LIMIT_EXCEEDED', `heal ${collection}: too many roles`);
      const file = (await read(client, role)) as MetadataFile<TargetsMetadata> | undefined;
      if (file === undefined) continue;
      verifySignatures(file, authority);
      if (isBroken(file, snapshot)) unsigned.push(again(file, authority, LIFETIME_MS.targets));
      const { delegations } = file.signed;
      queue.push(
        ...(delegations.roles ?? []).map((delegation): [string, RoleAuthority] => [
          delegation.name,
          authorityOf(delegation, delegations.keys),
        ]),
      );
    }
    if (unsigned.length === 0 && !(await isSnapshotBroken(client, snapshot))) return undefined;
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
