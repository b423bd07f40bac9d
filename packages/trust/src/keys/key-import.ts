import { createPublicKey, X509Certificate } from 'node:crypto';
import { TrustError } from '../errors.ts';
import type { PublicKey } from '../metadata/types.ts';
import { SoftwareKeypair } from './keypair.ts';
import { parsePem, writePem } from './pem.ts';
import { readPrivateKey } from './private-key-file.ts';
import { exportPublicKey, publicKeyOf } from './public-key.ts';

/**
 * Reads a signer's public key: a PEM public key, as `docker trust key generate` writes, or a certificate.
 *
 * @throws {@link TrustError} `INVALID_KEY` or `UNSUPPORTED_KEY`
 */
export function parsePublicKey(pem: string): PublicKey {
  const blocks = parsePem(pem);
  const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE');
  const block = blocks.find(({ label }) => label === 'PUBLIC KEY');
  try {
    if (certificates.length > 0) {
      const leaf = new X509Certificate(certificates[0]?.bytes ?? new Uint8Array());
      const { keytype } = exportPublicKey(leaf.publicKey);
      const chain = certificates.map(({ bytes }) => writePem('CERTIFICATE', bytes)).join('');
      return publicKeyOf(`${keytype}-x509`, chain);
    }
    if (block !== undefined) {
      return exportPublicKey(createPublicKey({ key: Buffer.from(block.bytes), format: 'der', type: 'spki' }));
    }
  } catch (cause) {
    if (TrustError.is(cause)) throw cause;
    throw new TrustError('INVALID_KEY', 'read public key: not a key', { cause });
  }
  throw new TrustError('INVALID_KEY', 'read public key: no public key or certificate in the file');
}

/**
 * Reads a private key file of docker, notary or OpenSSL, encrypted or not.
 *
 * @throws {@link TrustError} `BAD_PASSPHRASE`, `INVALID_KEY` or `UNSUPPORTED_KEY`
 */
export async function loadKeypair(pem: string, passphrase?: string): Promise<SoftwareKeypair> {
  return new SoftwareKeypair((await readPrivateKey(pem, passphrase)).privateKey);
}
