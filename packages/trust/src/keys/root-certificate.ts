import { randomBytes, type X509Certificate } from 'node:crypto';
import type { OperationOptions } from '@imagevet/registry';
import { TrustError } from '../errors.ts';
import type { PublicKey } from '../metadata/types.ts';
import { der, derBits, derInteger, derOctets, derOid, derSequence, readDer, readDerSequence } from './der.ts';
import type { Keypair } from './keypair.ts';
import { writePem } from './pem.ts';
import { certificatesOf, importPublicKey, publicKeyOf } from './public-key.ts';

const DAY_MS = 86_400_000;
/** What docker and notary issue; after that a root can never be renewed. */
const LIFETIME_DAYS = 3650;
/** A clock of the signer may run ahead of ours by this much. */
const NOT_BEFORE_SKEW_MS = DAY_MS;
const COMMON_NAME = derOid('2.5.4.3');
const SHA1_SIGNATURES = [derOid('1.2.840.113549.1.1.5'), derOid('1.2.840.10045.4.1')];

/**
 * Issues the self-signed certificate that makes a key a root key of one collection, in the form metadata holds it.
 *
 * @throws {@link TrustError} `UNSUPPORTED_KEY` for a key that is not ECDSA.
 */
export async function issueRootCertificate(
  keypair: Keypair,
  collection: string,
  options: OperationOptions & { readonly now?: () => Date; readonly lifetimeDays?: number } = {},
): Promise<PublicKey> {
  if (keypair.method !== 'ecdsa') {
    throw new TrustError(
      'UNSUPPORTED_KEY',
      `issue root certificate of ${collection}: the key is ${keypair.method}`,
      {
        hint: 'Use an ECDSA key as root key; docker and notary make P-256 keys.',
      },
    );
  }
  const now = options.now?.() ?? new Date();
  const name = derSequence(der(0x31, derSequence(COMMON_NAME, der(0x0c, Buffer.from(collection)))));
  const algorithm = derSequence(derOid('1.2.840.10045.4.3.2'));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const notAfter = new Date(now.getTime() + (options.lifetimeDays ?? LIFETIME_DAYS) * DAY_MS);
  const certificate = derSequence(
    der(0xa0, derInteger(2)),
    derInteger(serial),
    algorithm,
    name,
    derSequence(derTime(now), derTime(notAfter)),
    name,
    Buffer.from(keypair.publicKey.keyval.public, 'base64'),
    der(0xa3, derSequence(keyUsage(), extendedKeyUsage(), basicConstraints())),
  );
  const signature = await keypair.sign(certificate, options);
  const half = signature.length / 2;
  const derSignature = derSequence(
    derInteger(signature.subarray(0, half)),
    derInteger(signature.subarray(half)),
  );
  const pem = writePem('CERTIFICATE', derSequence(certificate, algorithm, derBits(derSignature)));
  return publicKeyOf('ecdsa-x509', pem);
}

/** What is wrong with a root certificate; `undefined` when nothing is. */
export interface CertificateProblem {
  readonly kind: 'expired' | 'invalid';
  readonly reason: string;
}

/**
 * Checks a root key as docker and notary do: one leaf certificate first, named after the collection (or a prefix with
 * `*`), not expired, of a usable key.
 *
 * @param now - Leave out to accept an expired certificate, as for the predecessor of a newer root.
 */
export function checkRootCertificate(
  key: PublicKey,
  collection: string,
  now: Date | undefined,
): CertificateProblem | undefined {
  const invalid = (reason: string): CertificateProblem => ({ kind: 'invalid', reason });
  if (!key.keytype.endsWith('-x509')) return invalid(`root key is ${key.keytype}, not a certificate`);
  let certificates: readonly X509Certificate[];
  try {
    certificates = certificatesOf(key);
    importPublicKey(key);
  } catch (error) {
    return invalid(TrustError.is(error) ? error.message : 'unreadable certificate');
  }
  const [leaf, ...rest] = certificates;
  if (leaf === undefined || leaf.ca) return invalid('first certificate is not a leaf');
  if (rest.some((certificate) => !certificate.ca)) return invalid('more than one leaf certificate');
  const name = commonName(leaf);
  const named = name.endsWith('*') ? collection.startsWith(name.slice(0, -1)) : name === collection;
  if (!named) return invalid(`certificate is for ${JSON.stringify(name.slice(0, 80))}`);
  if (signedWithSha1(leaf)) return invalid('certificate is signed with SHA-1');
  if (now === undefined) return undefined;
  if (leaf.validToDate.getTime() < now.getTime()) {
    return { kind: 'expired', reason: `certificate expired ${leaf.validToDate.toISOString().slice(0, 10)}` };
  }
  if (leaf.validFromDate.getTime() > now.getTime() + NOT_BEFORE_SKEW_MS)
    return invalid('certificate is not yet valid');
  return undefined;
}

/** When the leaf certificate of a root key expires; `undefined` for a plain key. */
export function certificateExpiry(key: PublicKey): Date | undefined {
  return key.keytype.endsWith('-x509') ? certificatesOf(key)[0]?.validToDate : undefined;
}

// The one common name of the subject; none when there are several. Read from the DER: Node's own ways to it print the
// whole certificate first.
function commonName(certificate: X509Certificate): string {
  const [body] = readDerSequence(certificate.raw);
  const fields = readDer(body?.content ?? new Uint8Array()).filter(({ tag }) => tag === 0x30);
  // signature algorithm, issuer, validity, subject
  const names = readDer(fields[3]?.content ?? new Uint8Array())
    .flatMap((set) => readDer(set.content))
    .map((attribute) => readDer(attribute.content))
    .filter(([type]) => type !== undefined && COMMON_NAME.equals(type.bytes));
  const [, value] = names[0] ?? [];
  return names.length === 1 && value !== undefined ? Buffer.from(value.content).toString('utf8') : '';
}

function signedWithSha1(certificate: X509Certificate): boolean {
  const [, algorithm] = readDerSequence(certificate.raw);
  const [oid] = readDer(algorithm?.content ?? new Uint8Array());
  return SHA1_SIGNATURES.some((sha1) => sha1.equals(oid?.bytes ?? new Uint8Array()));
}

// UTCTime until 2049, then GeneralizedTime (RFC 5280 4.1.2.5).
function derTime(date: Date): Buffer {
  const text = `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

const CRITICAL = der(0x01, Buffer.from([0xff]));

function keyUsage(): Buffer {
  // digitalSignature and keyEncipherment: bits 0 and 2.
  return derSequence(derOid('2.5.29.15'), CRITICAL, derOctets(derBits(Buffer.from([0b10100000]), 5)));
}

function extendedKeyUsage(): Buffer {
  return derSequence(derOid('2.5.29.37'), derOctets(derSequence(derOid('1.3.6.1.5.5.7.3.3'))));
}

function basicConstraints(): Buffer {
  return derSequence(derOid('2.5.29.19'), CRITICAL, derOctets(derSequence()));
}
