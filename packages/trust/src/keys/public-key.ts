import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { TrustError } from '../errors.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import type { PublicKey } from '../metadata/types.ts';
import { parsePem } from './pem.ts';

/** SPKI header of a raw Ed25519 key. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** Curves Go's standard library knows; others never verify for docker or notary. */
const CURVE_BYTES: Readonly<Record<string, number>> = {
  secp224r1: 28,
  prime256v1: 32,
  secp384r1: 48,
  secp521r1: 66,
};

/** Node's name of the key a key type holds. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['ecdsa', 'ec'],
  ['ecdsa-x509', 'ec'],
  ['rsa', 'rsa'],
  ['rsa-x509', 'rsa'],
  ['ed25519', 'ed25519'],
]);

/** TUF id: sha256 of the key object's canonical JSON. Metadata names keys by it. */
export function tufKeyId(key: PublicKey): string {
  const known = decodedOf(key);
  known.tufId ??= createHash('sha256')
    .update(canonicalJson({ keytype: key.keytype, keyval: { private: null, public: key.keyval.public } }))
    .digest('hex');
  return known.tufId;
}

/**
 * Canonical id: the TUF id of the plain key, also when the key sits in a certificate. Private key files are named by
 * it, and it outlives the renewal of a certificate.
 *
 * @throws {@link TrustError} `INVALID_KEY`
 */
export function canonicalKeyId(key: PublicKey): string {
  const known = decodedOf(key);
  known.canonicalId ??= tufKeyId(plainKey(key));
  return known.canonicalId;
}

/** The plain key: of a certificate the key inside its first (leaf) certificate, else the key itself. */
export function plainKey(key: PublicKey): PublicKey {
  if (!key.keytype.endsWith('-x509')) return key;
  const spki = leafCertificate(key).publicKey.export({ format: 'der', type: 'spki' });
  return publicKeyOf(key.keytype.slice(0, -'-x509'.length), spki);
}

/** Builds the metadata form of a key from its type and public bytes. */
export function publicKeyOf(keytype: string, content: Uint8Array | string): PublicKey {
  return { keytype, keyval: { private: null, public: Buffer.from(content).toString('base64') } };
}

/**
 * Builds the metadata form of a Node key.
 *
 * @throws {@link TrustError} `UNSUPPORTED_KEY` for another kind than ECDSA (P-224 to P-521), Ed25519 and RSA of at
 *   least 2048 bits.
 */
export function exportPublicKey(key: KeyObject): PublicKey {
  const spki = key.export({ format: 'der', type: 'spki' });
  if (key.asymmetricKeyType === 'ed25519') return publicKeyOf('ed25519', spki.subarray(ED25519_SPKI.length));
  const keytype =
    key.asymmetricKeyType === 'ec' ? 'ecdsa' : key.asymmetricKeyType === 'rsa' ? 'rsa' : undefined;
  if (keytype === undefined) throw unsupported(`key type ${key.asymmetricKeyType}`);
  checkStrength(key);
  return publicKeyOf(keytype, spki);
}

/**
 * The Node key that verifies signatures of a metadata key.
 *
 * @throws {@link TrustError} `INVALID_KEY` or `UNSUPPORTED_KEY`
 */
export function importPublicKey(key: PublicKey): KeyObject {
  const known = decodedOf(key);
  known.key ??= decodeKey(key);
  return known.key;
}

function decodeKey(key: PublicKey): KeyObject {
  const content = Buffer.from(key.keyval.public, 'base64');
  const expected = KINDS.get(key.keytype);
  if (expected === undefined) throw unsupported(`key type ${JSON.stringify(key.keytype.slice(0, 32))}`);
  let result: KeyObject;
  try {
    result = key.keytype.endsWith('-x509')
      ? leafCertificate(key).publicKey
      : createPublicKey({
          key: key.keytype === 'ed25519' ? Buffer.concat([ED25519_SPKI, content]) : content,
          format: 'der',
          type: 'spki',
        });
  } catch (cause) {
    if (TrustError.is(cause)) throw cause;
    throw new TrustError('INVALID_KEY', `read ${key.keytype} public key: not a key`, { cause });
  }
  if (result.asymmetricKeyType !== expected) {
    throw new TrustError('INVALID_KEY', `read ${key.keytype} public key: holds ${result.asymmetricKeyType}`);
  }
  checkStrength(result);
  checkForm(result, key);
  return result;
}

// One key has one form, as Go has it: in a second one it would have a second id, and count twice towards a threshold.
function checkForm(key: KeyObject, { keytype, keyval }: PublicKey): void {
  const isCertificate = keytype.endsWith('-x509');
  if (isWholePoint(key) && (isCertificate || exportPublicKey(key).keyval.public === keyval.public)) return;
  throw new TrustError('INVALID_KEY', `read ${keytype} public key: not in the one form of such keys`, {
    hint: 'An elliptic curve point is not compressed, and nothing follows the key.',
  });
}

function isWholePoint(key: KeyObject): boolean {
  if (key.asymmetricKeyType !== 'ec') return true;
  const spki = key.export({ format: 'der', type: 'spki' });
  // The bit string ends with: no unused bits, 4 for both coordinates, the coordinates.
  const start = spki.length - 2 * curveBytes(key) - 2;
  return spki[start] === 0 && spki[start + 1] === 4;
}

/**
 * The certificates of an `*-x509` key, leaf first.
 *
 * @throws {@link TrustError} `INVALID_KEY`
 */
export function certificatesOf(key: PublicKey): readonly X509Certificate[] {
  const known = decodedOf(key);
  known.certificates ??= decodeCertificates(key);
  return known.certificates;
}

function decodeCertificates(key: PublicKey): X509Certificate[] {
  const pem = Buffer.from(key.keyval.public, 'base64').toString('latin1');
  try {
    return parsePem(pem)
      .filter(({ label }) => label === 'CERTIFICATE')
      .map(({ bytes }) => new X509Certificate(bytes));
  } catch (cause) {
    throw new TrustError('INVALID_KEY', `read ${key.keytype} key: not a certificate`, { cause });
  }
}

/** Bytes of each half of a raw ECDSA signature, by the key's curve. */
export function curveBytes(key: KeyObject): number {
  let bytes = curves.get(key);
  if (bytes === undefined) {
    bytes = CURVE_BYTES[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 0;
    curves.set(key, bytes);
  }
  return bytes;
}

/** What was computed from a key, for as long as the key object lives. */
interface DecodedKey {
  readonly keytype: string;
  readonly content: string;
  tufId?: string;
  canonicalId?: string;
  key?: KeyObject;
  certificates?: readonly X509Certificate[];
}

// One verification asks for the ids, the certificate and the key of each signer several times over, and the next one for the
// same again from a file read anew; decoding them is what costs most of it beside the signatures themselves.
const decoded = new WeakMap<PublicKey, DecodedKey>();
const recent = new Map<string, DecodedKey>();
/** Keys remembered by what they hold, and the longest of them: a chain of certificates has a few thousand characters. */
const MAX_RECENT = 256;
const MAX_RECENT_LENGTH = 8192;
const curves = new WeakMap<KeyObject, number>();

function decodedOf(key: PublicKey): DecodedKey {
  const { keytype, keyval } = key;
  let known = decoded.get(key);
  // Whoever changes a key object gets what belongs to its new content.
  if (known === undefined || known.keytype !== keytype || known.content !== keyval.public) {
    known = recentOf(keytype, keyval.public);
    decoded.set(key, known);
  }
  return known;
}

function recentOf(keytype: string, content: string): DecodedKey {
  const id = `${keytype} ${content}`;
  const known = recent.get(id) ?? { keytype, content };
  if (content.length > MAX_RECENT_LENGTH) return known;
  // The map keeps the order of insertion: what was not asked for longest goes first.
  recent.delete(id);
  recent.set(id, known);
  if (recent.size > MAX_RECENT) recent.delete(recent.keys().next().value ?? '');
  return known;
}

function leafCertificate(key: PublicKey): X509Certificate {
  const [leaf] = certificatesOf(key);
  if (leaf === undefined) throw new TrustError('INVALID_KEY', `read ${key.keytype} key: no certificate`);
  return leaf;
}

function checkStrength(key: KeyObject): void {
  if (key.asymmetricKeyType === 'ec' && curveBytes(key) === 0) {
    throw unsupported(`curve ${key.asymmetricKeyDetails?.namedCurve}`);
  }
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
    throw unsupported(`RSA key of ${key.asymmetricKeyDetails?.modulusLength} bits`);
  }
}

function unsupported(what: string): TrustError {
  return new TrustError('UNSUPPORTED_KEY', `${what} is not supported`, {
    hint: 'Use ECDSA P-256, P-384 or P-521, Ed25519, or RSA of at least 2048 bits.',
  });
}
