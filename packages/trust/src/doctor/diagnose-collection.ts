import type { OperationOptions } from '@imagevet/registry';
import { findExpiredSnapshot } from '../collection/expired-snapshot.ts';
import { walkCollection } from '../collection/hash-walk.ts';
import { TrustError } from '../errors.ts';
import { parseGoTime } from '../json/go-time.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { certificateExpiry } from '../keys/root-certificate.ts';
import { RELEASES_ROLE } from '../metadata/names.ts';
import type { MetadataFile, PublicKey } from '../metadata/types.ts';
import type { NotaryServer } from '../notary/client.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';
import { withMetadataSource } from '../notary/server.ts';
import type { RootTrust } from '../verify/root-trust.ts';
import { authorityOf } from '../verify/signatures.ts';
import { createMemoryTrustState } from '../verify/state.ts';
import { updateCollection } from '../verify/update.ts';
import type { VerifiedCollection } from '../verify/verified-collection.ts';
import type { TrustDiagnosis } from './diagnosis.ts';

/** What a diagnosis looks at. */
export interface DiagnoseOptions extends OperationOptions {
  readonly server: NotaryServer | MetadataSource;
  readonly root: RootTrust;
  /** Keys to look through for those nobody needs. */
  readonly keys?: KeyStore;
  readonly now?: () => Date;
  /** How long before a role expires it is told. @defaultValue 180 */
  readonly expiryWarningDays?: number;
  /** How long before a root certificate expires it is told: afterwards nothing can be renewed. @defaultValue 730 */
  readonly certificateWarningDays?: number;
}

const DAY_MS = 86_400_000;

/**
 * Looks for what is wrong, or will be, with a collection: broken on the server, roles nobody believes, expiry, keys nobody
 * needs, tags that docker would fall back to.
 *
 * @returns findings, the worst first; none when all is well
 * @throws {@link TrustError} `NOT_SIGNED`, `UNREACHABLE` and the like: when there is nothing to look at
 */
export async function diagnoseCollection(
  collection: string,
  options: DiagnoseOptions,
): Promise<TrustDiagnosis[]> {
  return withMetadataSource(options.server, async (source) => {
    const { root, signal } = options;
    const now = options.now?.() ?? new Date();
    const own = signal === undefined ? {} : { signal };
    const found: TrustDiagnosis[] = [];
    const verified = await attempt(found, () =>
      updateCollection(collection, {
        ...own,
        source,
        root,
        state: createMemoryTrustState(),
        now: () => now,
        allowExpired: true,
      }).catch(tellExpiredSnapshot),
    );
    if (verified === undefined) return found;
    const walked = await attempt(found, () =>
      walkCollection(collection, verified.root, { ...own, source, now: () => now }),
    );
    for (const role of walked?.invalidRoles ?? []) {
      found.push({
        code: 'invalid-role',
        severity: 'error',
        role,
        message: `${role} is not signed by its keys any more; docker ignores it and falls back to older tags`,
        remedy: `Sign it again with a remaining key: witness('${role}'), or reset('${role}') to drop its tags.`,
      });
    }
    if (walked !== undefined) {
      found.push(...(await diagnoseExpiry(walked.verified, now, options)));
      found.push(...(await diagnoseFallback(walked.verified)));
      if (options.keys !== undefined) found.push(...(await diagnoseKeys(walked.verified, options.keys, own)));
    }
    return found.sort((left, right) => left.severity.localeCompare(right.severity));

    async function tellExpiredSnapshot(cause: unknown): Promise<never> {
      const isRefused = TrustError.is(cause) && cause.code === 'UNREACHABLE';
      const options = { source, now: () => now, ...own };
      const expired = isRefused
        ? await findExpiredSnapshot(collection, options).catch(() => undefined)
        : undefined;
      signal?.throwIfAborted();
      if (expired === undefined) throw cause;
      const message = `read ${collection}: its snapshot expired, and the server has no key to renew it`;
      throw new TrustError('BROKEN_COLLECTION', message, { cause });
    }
  });
}

async function attempt<T>(found: TrustDiagnosis[], look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    const unanswered = ['NOT_SIGNED', 'UNREACHABLE', 'TIMEOUT', 'AUTH_REQUIRED', 'DENIED', 'INVALID_NAME'];
    if (!TrustError.is(error) || unanswered.includes(error.code)) throw error;
    const broken = ['BROKEN_COLLECTION', 'MISSING_METADATA', 'MIX_AND_MATCH', 'MALFORMED'].includes(
      error.code,
    );
    found.push({
      code: broken ? 'broken-collection' : 'not-verifiable',
      severity: 'error',
      message: error.message,
      remedy: broken
        ? 'Publish it again in clean form with healCollection().'
        : (error.hint ?? 'Find out who changed the collection before trusting it again.'),
    });
    return undefined;
  }
}

async function diagnoseExpiry(
  verified: VerifiedCollection,
  now: Date,
  options: DiagnoseOptions,
): Promise<TrustDiagnosis[]> {
  const { expiryWarningDays = 180, certificateWarningDays = 730 } = options;
  const roles = (await verified.loaded()).map(({ file }) => file);
  const files: MetadataFile[] = [verified.root, ...roles];
  if (await holdsSnapshotKey(verified, options)) files.push(verified.snapshot);
  const found = files.flatMap(({ role, signed }): TrustDiagnosis[] => {
    const at = parseGoTime(signed.expires);
    const days = (at - now.getTime()) / DAY_MS;
    if (days > expiryWarningDays) return [];
    const expired = days <= 0;
    return [
      {
        code: expired ? 'expired-role' : 'expiring-role',
        severity: expired ? 'error' : 'warning',
        role,
        message: `${role} ${expired ? 'expired' : 'expires'} on ${signed.expires.slice(0, 10)}`,
        remedy:
          role === 'snapshot'
            ? "Publish anything before, as witness('targets'): the snapshot is signed anew. Nobody can read the collection afterwards."
            : `Sign it again${expired ? '' : ' before'}: witness('${role}').`,
        at: new Date(at).toISOString(),
      },
    ];
  });
  for (const id of verified.root.signed.roles.root.keyids ?? []) {
    const key = verified.root.signed.keys[id];
    const at = key === undefined ? undefined : certificateExpiry(key);
    if (at === undefined || (at.getTime() - now.getTime()) / DAY_MS > certificateWarningDays) continue;
    const expired = at.getTime() <= now.getTime();
    found.push({
      code: 'root-certificate-expires',
      severity: expired ? 'error' : 'warning',
      role: 'root',
      message: `the root certificate ${id.slice(0, 12)} ${expired ? 'expired' : 'expires'} on ${at.toISOString().slice(0, 10)}`,
      remedy: expired
        ? 'It cannot be renewed: delete the collection, set it up again, and give clients the new root.'
        : "Renew it before: rotateKey(collection, 'root', { renewCertificate: true }).",
      at: at.toISOString(),
    });
  }
  return found;
}

// A server renews a snapshot whose key it holds; over one whose key the publisher holds it fails once it expired.
async function holdsSnapshotKey(verified: VerifiedCollection, options: DiagnoseOptions): Promise<boolean> {
  const { roles, keys } = verified.root.signed;
  const ids = new Set([...authorityOf(roles.snapshot, keys).keys.values()].map(canonicalKeyId));
  const own = options.signal === undefined ? {} : { signal: options.signal };
  for await (const { keyId } of options.keys?.list(own) ?? []) if (ids.has(keyId)) return true;
  return false;
}

// When the releases become invalid, docker resolves such tags to what targets says.
async function diagnoseFallback(verified: VerifiedCollection): Promise<TrustDiagnosis[]> {
  const releases = (await verified.role(RELEASES_ROLE).catch(() => undefined))?.file.signed.targets ?? {};
  const targets = (await verified.role('targets'))?.file.signed.targets ?? {};
  const stale = Object.keys(releases ?? {}).filter((name) => {
    const other = Object.hasOwn(targets ?? {}, name) ? targets?.[name] : undefined;
    return other !== undefined && other.hashes.sha256 !== releases?.[name]?.hashes.sha256;
  });
  if (stale.length === 0) return [];
  return [
    {
      code: 'stale-fallback',
      severity: 'warning',
      role: 'targets',
      message: `targets holds other digests than ${RELEASES_ROLE} for ${stale.slice(0, 5).join(', ')}; docker falls back to them when the releases expire or lose their signer`,
      remedy: "Remove these tags from targets: removeTarget(tag, { roles: ['targets'] }).",
    },
  ];
}

async function diagnoseKeys(
  verified: VerifiedCollection,
  keys: KeyStore,
  options: OperationOptions,
): Promise<TrustDiagnosis[]> {
  const named = new Set<string>();
  const add = (key: PublicKey): void => void named.add(canonicalKeyId(key));
  Object.values(verified.root.signed.keys).forEach(add);
  const found: TrustDiagnosis[] = [];
  for await (const { keyId, role, gun, unreadable } of keys.list(options)) {
    if (unreadable !== undefined) {
      found.push({
        code: 'unreadable-key',
        severity: 'error',
        message: `key ${keyId.slice(0, 12)} of the key store cannot be used: ${unreadable}`,
        remedy:
          'Bring its file back from a backup, or make it readable; whatever it signs cannot be renewed without it.',
        ...(role === undefined ? {} : { role }),
      });
      continue;
    }
    if (gun !== verified.collection || named.has(keyId)) continue;
    found.push({
      code: 'orphan-key',
      severity: 'warning',
      message: `${role ?? 'key'} ${keyId.slice(0, 12)} is of this collection and signs nothing: an earlier key, or one of a rotation that was not finished`,
      remedy: 'Finish the rotation, or remove the key once no backup of the collection needs it.',
      ...(role === undefined ? {} : { role }),
    });
  }
  return found;
}
