import { X509Certificate } from 'node:crypto';
import { TrustError } from '../errors.ts';
import { canonicalKeyId, certificatesOf, tufKeyId } from '../keys/public-key.ts';
import { checkRootCertificate } from '../keys/root-certificate.ts';
import type { MetadataFile, RootMetadata } from '../metadata/types.ts';
import { isIssuedBy } from './certificate-path.ts';
import { authorityOf, type RoleAuthority, type VerifiedKey, verifySignatures } from './signatures.ts';

/**
 * Why a collection's root is trusted.
 *
 * - `keyIds`: it is signed by these keys, given by the id of the root certificate's key (what `docker trust inspect` and
 *   notary's `trust_pinning.certs` show) or by canonical id, which outlives a renewed certificate. With a threshold of N,
 *   name at least N keys.
 * - `ca`: its certificates were issued by one of these certificates (PEM).
 * - `firstUse`: whatever the server shows first is trusted and remembered in the state. Only safe where nobody can stand
 *   between at that moment.
 */
export type RootTrust =
  | { readonly keyIds: readonly string[] }
  | { readonly ca: string }
  | { readonly firstUse: true };

/**
 * Verifies a root by its own keys.
 *
 * @param now - Leave out to accept expired certificates, as for every root but the newest.
 * @param signers - Keys whose signatures of this very root are known to hold; they are not verified again.
 * @throws {@link TrustError} `INVALID_CERTIFICATE`, `EXPIRED`, and what `verifySignatures` throws
 * @see TUF specification 5.3.4
 */
export function verifyRootItself(
  root: MetadataFile<RootMetadata>,
  collection: string,
  now: Date | undefined,
  signers: readonly VerifiedKey[] = [],
): readonly VerifiedKey[] {
  const authority = rootAuthority(root, collection, now);
  const usable = signers.filter(({ tufId }) => authority.keys.has(tufId));
  return usable.length >= authority.threshold ? usable : verifySignatures(root, authority);
}

/**
 * Verifies that a root follows another: the next version, signed by the keys of the one before it.
 *
 * @throws {@link TrustError} `ROOT_CHAIN`
 * @see TUF specification 5.3.4, 5.3.5
 */
export function verifyRootSuccession(
  previous: MetadataFile<RootMetadata>,
  next: MetadataFile<RootMetadata>,
  collection: string,
): void {
  const expected = previous.signed.version + 1;
  if (next.signed.version !== expected) {
    throw new TrustError(
      'ROOT_CHAIN',
      `verify root of ${collection}: version ${expected} expected after ${previous.signed.version}, received ${next.signed.version}`,
    );
  }
  try {
    verifySignatures(next, rootAuthority(previous, collection, undefined));
  } catch (cause) {
    if (!TrustError.is(cause)) throw cause;
    throw new TrustError(
      'ROOT_CHAIN',
      `verify root of ${collection}: version ${next.signed.version} is not signed by the keys of version ${previous.signed.version}`,
      { cause, details: { reason: cause.code } },
    );
  }
}

/**
 * Tells whether a root is one that {@link RootTrust} vouches for: the trusted keys alone reach the threshold.
 *
 * @param signers - What {@link verifyRootItself} returned for it.
 * @param now - When authorities must be valid; leave out for a root that was trusted before.
 * @throws {@link TrustError} `INVALID_OPTIONS` for a pin that says nothing
 */
export function isTrustedRoot(
  root: MetadataFile<RootMetadata>,
  collection: string,
  trust: RootTrust,
  signers: readonly VerifiedKey[],
  now?: Date,
): boolean {
  const authorities = authoritiesOf(trust);
  if ('firstUse' in trust) return true;
  const { keys, threshold } = rootAuthority(root, collection, undefined);
  const vouched = new Set(
    // The id a key has, not the one it is listed under: anybody can list a key under the pinned id.
    [...keys.values()].flatMap((key) => {
      const keyId = canonicalKeyId(key);
      const named =
        'keyIds' in trust
          ? trust.keyIds.includes(tufKeyId(key)) || trust.keyIds.includes(keyId)
          : isIssuedBy(certificatesOf(key), authorities, now);
      return named ? [keyId] : [];
    }),
  );
  return signers.filter(({ keyId }) => vouched.has(keyId)).length >= threshold;
}

function rootAuthority(
  root: MetadataFile<RootMetadata>,
  collection: string,
  now: Date | undefined,
): RoleAuthority {
  const { keys, threshold } = authorityOf(root.signed.roles.root, root.signed.keys);
  const problems = new Map([...keys].map(([id, key]) => [id, checkRootCertificate(key, collection, now)]));
  const usable = [...keys].filter(([id]) => problems.get(id) === undefined);
  if (usable.length > 0) return { keys: new Map(usable), threshold };
  const [problem] = problems.values();
  if (problem?.kind === 'expired') {
    throw new TrustError('EXPIRED', `verify root of ${collection}: ${problem.reason}`, {
      hint: 'A root whose certificate expired cannot be renewed: the collection must be deleted and set up again.',
    });
  }
  throw new TrustError(
    'INVALID_CERTIFICATE',
    `verify root of ${collection}: ${problem?.reason ?? 'no root key'}`,
  );
}

/**
 * Reads the certificates of a pinned authority, and checks that a pin says something.
 *
 * @throws {@link TrustError} `INVALID_OPTIONS`
 */
export function authoritiesOf(trust: RootTrust): readonly X509Certificate[] {
  const given: { keyIds?: unknown; ca?: unknown; firstUse?: unknown } = trust;
  if ('ca' in given && typeof given.ca === 'string') return readAuthorities(given.ca);
  const names = Array.isArray(given.keyIds) && given.keyIds.every((id) => typeof id === 'string');
  if (names || given.firstUse === true) return [];
  throw new TrustError(
    'INVALID_OPTIONS',
    'verify: root is none of { keyIds }, { ca } and { firstUse: true }',
  );
}

function readAuthorities(ca: string): X509Certificate[] {
  const blocks = ca.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length > 0) return blocks.map((pem) => new X509Certificate(pem));
  } catch {
    // Told below.
  }
  throw new TrustError(
    'INVALID_OPTIONS',
    `verify: root.ca holds ${blocks.length === 0 ? 'no certificate' : 'a damaged certificate'}`,
    { hint: 'Give the certificates of the authority as PEM text, not the name of a file.' },
  );
}
