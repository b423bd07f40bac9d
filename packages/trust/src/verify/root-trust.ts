import { createHash, X509Certificate } from 'node:crypto';
import { TrustError } from '../errors.ts';
import { canonicalKeyId, certificatesOf, importPublicKey, tufKeyId } from '../keys/public-key.ts';
import { checkRootCertificate } from '../keys/root-certificate.ts';
import type { MetadataFile, PublicKey, RootMetadata } from '../metadata/types.ts';
import { isIssuedBy } from './certificate-path.ts';
import { authorityOf, type RoleAuthority, type VerifiedKey, verifySignatures } from './signatures.ts';

/**
 * Why a collection's root is trusted: one of these.
 *
 * - `keyIds`: it is signed by these keys, given by the id of the root certificate's key (what `docker trust inspect` and
 *   notary's `trust_pinning.certs` show) or by canonical id, which outlives a renewed certificate. With a threshold of N,
 *   name at least N keys.
 * - `spkiSha256`: it is signed by these keys, given by the SHA-256 of their SubjectPublicKeyInfo in base64, as in RFC 7469:
 *   `openssl x509 -in root.crt -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`.
 *   Outlives a renewed certificate too.
 * - `ca`: its certificates were issued by one of these certificates (PEM).
 * - `firstUse`: whatever the server shows first is trusted and remembered in the state. Only safe where nobody can stand
 *   between at that moment.
 */
export type RootTrust =
  | { readonly keyIds: readonly string[] }
  | { readonly spkiSha256: readonly string[] }
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
  if ('firstUse' in trust && trust.firstUse === true) return true;
  const { keys, threshold } = rootAuthority(root, collection, undefined);
  const vouched = new Set(
    // The id a key has, not the one it is listed under: anybody can list a key under the pinned id.
    [...keys.values()].flatMap((key) => {
      const keyId = canonicalKeyId(key);
      return isNamed(key, keyId) ? [keyId] : [];
    }),
  );
  return signers.filter(({ keyId }) => vouched.has(keyId)).length >= threshold;

  function isNamed(key: PublicKey, keyId: string): boolean {
    if ('keyIds' in trust) return trust.keyIds.includes(tufKeyId(key)) || trust.keyIds.includes(keyId);
    if ('spkiSha256' in trust) return trust.spkiSha256.includes(spkiSha256(key));
    return isIssuedBy(certificatesOf(key), authorities, now);
  }
}

function spkiSha256(key: PublicKey): string {
  const spki = importPublicKey(key).export({ format: 'der', type: 'spki' });
  return createHash('sha256').update(spki).digest('base64');
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
  const given: { keyIds?: unknown; spkiSha256?: unknown; ca?: unknown; firstUse?: unknown } = trust;
  const said = [given.keyIds, given.spkiSha256, given.ca, given.firstUse].filter(
    (value) => value !== undefined,
  );
  // Of two, the weaker would decide.
  if (said.length === 1) {
    if (typeof given.ca === 'string') return readAuthorities(given.ca);
    if (isList(given.keyIds, /^/) || isList(given.spkiSha256, SHA256_BASE64) || given.firstUse === true)
      return [];
  }
  throw new TrustError(
    'INVALID_OPTIONS',
    'verify: root is not one of { keyIds }, { spkiSha256 }, { ca } and { firstUse: true }',
    { hint: 'An SPKI hash is the SHA-256 of the public key in DER, 44 characters of base64.' },
  );
}

const SHA256_BASE64 = /^[A-Za-z0-9+/]{43}=$/;

function isList(value: unknown, pattern: RegExp): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && pattern.test(item));
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
