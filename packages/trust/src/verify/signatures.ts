import { TrustError } from '../errors.ts';
import { canonicalKeyId, importPublicKey, tufKeyId } from '../keys/public-key.ts';
import { verifySignature } from '../keys/signature.ts';
import type { MetadataFile, PublicKey, RoleKeys } from '../metadata/types.ts';

/** Keys that may sign a file, and how many of them must. */
export interface RoleAuthority {
  /** Keys by TUF id. */
  readonly keys: ReadonlyMap<string, PublicKey>;
  readonly threshold: number;
}

/** A key whose signature counted. */
export interface VerifiedKey {
  readonly tufId: string;
  /** Canonical id: the same for a key and for a certificate of it. */
  readonly keyId: string;
}

/** What {@link verifySignatures} tells of a file whose signatures do not count. */
export const SIGNATURE_FAILURES: readonly string[] = [
  'WRONG_KEY',
  'INVALID_SIGNATURE',
  'THRESHOLD',
  'ALGORITHM_MISMATCH',
  'UNSUPPORTED_KEY',
  'INVALID_KEY',
];

/** Collects the keys a role names from the file that defines it. */
export function authorityOf(
  role: RoleKeys | undefined,
  keys: Readonly<Record<string, PublicKey>> | null,
): RoleAuthority {
  const named = (role?.keyids ?? []).flatMap((id): [string, PublicKey][] => {
    const key = keys !== null && Object.hasOwn(keys, id) ? keys[id] : undefined;
    return key === undefined ? [] : [[id, key]];
  });
  return { keys: new Map(named), threshold: role?.threshold ?? 1 };
}

/**
 * Verifies that enough different keys signed a file. A key counts once, whatever number of signatures, ids or
 * certificates it appears under.
 *
 * @returns the keys that signed
 * @throws {@link TrustError} `WRONG_KEY` when no key of the role signed, else `ALGORITHM_MISMATCH`, `INVALID_SIGNATURE`,
 *   `UNSUPPORTED_KEY` or `THRESHOLD` when too few signatures hold.
 * @see TUF specification 5.3.4, 5.4.2, 5.5.3, 5.6.3
 */
export function verifySignatures(file: MetadataFile, authority: RoleAuthority): VerifiedKey[] {
  const verified = new Map<string, VerifiedKey>();
  const tried = new Set<string>();
  let failure: TrustError | undefined;
  for (const { keyid, method, sig } of file.signatures) {
    const key = authority.keys.get(keyid);
    if (key === undefined || tried.has(keyid)) continue;
    tried.add(keyid);
    try {
      if (tufKeyId(key) !== keyid) {
        throw new TrustError(
          'WRONG_KEY',
          `verify ${file.role}: key ${short(keyid)} is listed under another key's id`,
        );
      }
      if (!verifySignature(importPublicKey(key), method, file.signedBytes, Buffer.from(sig, 'base64'))) {
        throw new TrustError(
          'INVALID_SIGNATURE',
          `verify ${file.role}: the signature of ${short(keyid)} is wrong`,
        );
      }
      const keyId = canonicalKeyId(key);
      verified.set(keyId, { tufId: keyid, keyId });
    } catch (error) {
      if (!TrustError.is(error)) throw error;
      failure ??= error as TrustError;
    }
  }
  if (verified.size >= authority.threshold) return [...verified.values()];
  if (failure !== undefined) throw failure;
  const details = {
    expected: [...authority.keys.keys()],
    received: file.signatures.map(({ keyid }) => keyid).slice(0, 16),
    threshold: authority.threshold,
  };
  if (verified.size === 0) {
    throw new TrustError('WRONG_KEY', `verify ${file.role}: no signature by a key of the role`, { details });
  }
  throw new TrustError(
    'THRESHOLD',
    `verify ${file.role}: ${authority.threshold} different keys must sign, ${verified.size} did`,
    { details },
  );
}

function short(keyId: string): string {
  return keyId.slice(0, 12);
}
