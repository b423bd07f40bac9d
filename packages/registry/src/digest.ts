import { createHash, type Hash } from 'node:crypto';
import { RegistryError } from './errors.ts';

/** Hash functions a digest may name. */
export type DigestAlgorithm = 'sha256' | 'sha512';

/** Content address: `sha256:<64 lower-case hex>` or `sha512:<128 lower-case hex>`. */
export type Digest = `${DigestAlgorithm}:${string}`;

const HEX_LENGTH: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };

/**
 * Parses a digest.
 *
 * @throws {@link RegistryError} `INVALID_DIGEST` for another algorithm, upper-case hex or a wrong length.
 * @see OCI image-spec, descriptor.md, "Digests"
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryError('INVALID_DIGEST', `invalid digest ${JSON.stringify(text.slice(0, 160))}`, {
    hint: 'A digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal characters.',
  });
}

/** Tells whether a text is a digest {@link parseDigest} accepts. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false;
  const hex = text.slice(colon + 1);
  return hex.length === HEX_LENGTH[algorithm] && /^[0-9a-f]+$/.test(hex);
}

/** The algorithm part of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hexadecimal part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Computes the digest of bytes (text is hashed as UTF-8). */
export function digestOf(content: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`;
}

/** A running digest, for bytes that arrive in pieces. */
export class Digester {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  #size = 0;

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Bytes seen so far. */
  get size(): number {
    return this.#size;
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#size += chunk.byteLength;
  }

  /** Ends the computation; call once. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}`;
  }
}
