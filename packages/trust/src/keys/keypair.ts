import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { OperationOptions } from '@imagevet/registry';
import type { PublicKey, SignatureMethod } from '../metadata/types.ts';
import { exportPublicKey, tufKeyId } from './public-key.ts';
import { signatureMethod, signBytes } from './signature.ts';

/**
 * A key that can sign. Implement it over a key service or a hardware token: nothing here asks for private bytes.
 */
export interface Keypair {
  /** Canonical id: the sha256 of {@link publicKey}. */
  readonly keyId: string;
  /** The plain public key, never a certificate. */
  readonly publicKey: PublicKey;
  /** How {@link sign} signs: `ecdsa` (SHA-256, raw r and s), `eddsa`, or `rsapss` (SHA-256, salt of 32 bytes). */
  readonly method: SignatureMethod;
  /** Signs bytes (not their hash). */
  sign(bytes: Uint8Array, options?: OperationOptions): Promise<Uint8Array>;
}

/** Kinds of key {@link generateKeypair} makes. */
export type KeyAlgorithm = 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519' | 'rsa-3072';

/** The kind of key to make for a role: a root key is ECDSA, because it signs its own certificate. */
export function algorithmFor(role: string, wanted: KeyAlgorithm = 'ecdsa-p256'): KeyAlgorithm {
  return role === 'root' && !wanted.startsWith('ecdsa-') ? 'ecdsa-p256' : wanted;
}

/** A keypair whose private key is in this process. */
export class SoftwareKeypair implements Keypair {
  readonly keyId: string;
  readonly publicKey: PublicKey;
  readonly method: SignatureMethod;
  readonly #privateKey: KeyObject;

  /**
   * @throws {@link TrustError} `UNSUPPORTED_KEY`
   */
  constructor(privateKey: KeyObject) {
    this.#privateKey = privateKey;
    this.publicKey = exportPublicKey(createPublicKey(privateKey));
    this.keyId = tufKeyId(this.publicKey);
    this.method = signatureMethod(privateKey);
  }

  async sign(bytes: Uint8Array): Promise<Uint8Array> {
    return signBytes(this.#privateKey, bytes);
  }

  /** The private key, for a {@link KeyStore} that writes it to a file. */
  exportPrivateKey(): KeyObject {
    return this.#privateKey;
  }
}

/** Makes a new keypair. @defaultValue `ecdsa-p256`, what docker and notary make */
export function generateKeypair(algorithm: KeyAlgorithm = 'ecdsa-p256'): SoftwareKeypair {
  if (algorithm === 'ed25519') return new SoftwareKeypair(generateKeyPairSync('ed25519').privateKey);
  if (algorithm === 'rsa-3072') {
    return new SoftwareKeypair(generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey);
  }
  const namedCurve = algorithm === 'ecdsa-p384' ? 'P-384' : 'P-256';
  return new SoftwareKeypair(generateKeyPairSync('ec', { namedCurve }).privateKey);
}
