import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { canonicalKeyId } from '../keys/public-key.ts';
import { serializeMetadata, signedJson } from '../metadata/parse.ts';
import type { Metadata, Signature } from '../metadata/types.ts';
import type { PublishPart } from '../notary/multipart.ts';
import type { RootTrust } from '../verify/root-trust.ts';
import type { RoleAuthority } from '../verify/signatures.ts';
import type { UnsignedRole } from './draft.ts';

/** Canonical ids of the keys in a store that can be opened. */
export async function availableKeys(keys: KeyStore, options: OperationOptions = {}): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { keyId, unreadable } of keys.list(options)) if (unreadable === undefined) ids.add(keyId);
  return ids;
}

/**
 * Throws why a key of an authority cannot be used when it is in the store: whoever misses its signature learns that it is
 * there. Does nothing when enough other keys can be opened.
 *
 * @throws {@link TrustError} `INVALID_KEY`
 */
export async function tellUnreadable(
  { keys: named, threshold }: RoleAuthority,
  keys: KeyStore,
  options: OperationOptions = {},
): Promise<void> {
  const wanted = new Set([...named.values()].map(canonicalKeyId));
  const unusable: string[] = [];
  let usable = 0;
  for await (const { keyId, unreadable } of keys.list(options)) {
    if (!wanted.has(keyId)) continue;
    if (unreadable === undefined) usable += 1;
    else unusable.push(keyId);
  }
  if (usable < threshold) for (const keyId of unusable) await keys.open(keyId, options);
}

/** Trust in the root keys of a store: whoever holds them set the collection up. */
export async function ownRootKeys(keys: KeyStore, options: OperationOptions = {}): Promise<RootTrust> {
  const keyIds: string[] = [];
  for await (const { keyId, role } of keys.list(options)) if (role === 'root') keyIds.push(keyId);
  return { keyIds };
}

/**
 * Signs with every key of a role that is in the store.
 *
 * @returns one signature per key; possibly none
 */
export async function signWithStore(
  signed: Metadata,
  authorities: readonly RoleAuthority[],
  keys: KeyStore,
  options: OperationOptions = {},
): Promise<Signature[]> {
  const bytes = Buffer.from(signedJson(signed));
  const available = await availableKeys(keys, options);
  const signatures = new Map<string, Signature>();
  for (const [tufId, key] of authorities.flatMap((authority) => [...authority.keys])) {
    const keyId = canonicalKeyId(key);
    if (signatures.has(tufId) || !available.has(keyId)) continue;
    const keypair = await keys.open(keyId, options);
    const sig = Buffer.from(await keypair.sign(bytes, options)).toString('base64');
    signatures.set(tufId, { keyid: tufId, method: keypair.method, sig });
  }
  return [...signatures.values()];
}

/**
 * Makes a publishable part of a role and its signatures.
 *
 * @throws {@link TrustError} `KEY_NOT_FOUND` when nothing signed, `THRESHOLD` when too few keys did
 */
export function assemblePart(unsigned: UnsignedRole, signatures: readonly Signature[]): PublishPart {
  const { role, signed, authorities } = unsigned;
  for (const { keys, threshold } of authorities) {
    const signers = new Set(
      signatures.flatMap(({ keyid }) => {
        const key = keys.get(keyid);
        return key === undefined ? [] : [canonicalKeyId(key)];
      }),
    );
    if (signers.size >= threshold) continue;
    const details = { expected: [...keys.values()].map(canonicalKeyId), received: [...signers], threshold };
    if (signers.size === 0) {
      throw new TrustError('KEY_NOT_FOUND', `sign ${role}: none of its keys is in the key store`, {
        details,
      });
    }
    throw new TrustError('THRESHOLD', `sign ${role}: ${threshold} keys must sign, ${signers.size} did`, {
      details,
      hint: 'Collect the missing signatures with a signing ceremony: prepare(), signDetached(), publishPrepared().',
    });
  }
  return { role, bytes: serializeMetadata(signed, signatures) };
}
