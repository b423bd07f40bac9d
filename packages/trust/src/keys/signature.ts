import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { TrustError } from '../errors.ts';
import type { SignatureMethod } from '../metadata/types.ts';
import { curveBytes } from './public-key.ts';

/** Which methods a key may be used with: the key decides, never the signature that claims one. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  ec: ['ecdsa'],
  ed25519: ['eddsa'],
  rsa: ['rsapss', 'rsapkcs1v15'],
};

/**
 * Tells whether a signature is right.
 *
 * @throws {@link TrustError} `ALGORITHM_MISMATCH` when the method is not one of the key's kind.
 */
export function verifySignature(
  key: KeyObject,
  method: string,
  bytes: Uint8Array,
  signature: Uint8Array,
): boolean {
  const kind = key.asymmetricKeyType ?? 'unknown';
  const name = method.toLowerCase();
  if (METHODS[kind]?.includes(name) !== true) {
    throw new TrustError(
      'ALGORITHM_MISMATCH',
      `signature method ${JSON.stringify(method.slice(0, 32))} does not fit a key of kind ${kind}`,
    );
  }
  if (name === 'eddsa') return verify(null, bytes, key, signature);
  if (name === 'ecdsa') {
    if (signature.length !== curveBytes(key) * 2) return false;
    return verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature);
  }
  return verify('sha256', bytes, { key, ...rsaOptions(name) }, signature);
}

/** The method new signatures of a key use. */
export function signatureMethod(key: KeyObject): SignatureMethod {
  return METHODS[key.asymmetricKeyType ?? '']?.[0] as SignatureMethod;
}

/** Signs bytes with a Node private key, in the encoding of the format. */
export function signBytes(key: KeyObject, bytes: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === 'ed25519') return sign(null, bytes, key);
  if (key.asymmetricKeyType === 'ec') return sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
  return sign('sha256', bytes, { key, ...rsaOptions('rsapss') });
}

// Go verifies PSS with a salt of exactly the hash's length.
function rsaOptions(method: string): { padding: number; saltLength?: number } {
  return method === 'rsapss'
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : { padding: constants.RSA_PKCS1_PADDING };
}
