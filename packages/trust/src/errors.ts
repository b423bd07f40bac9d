import { ImagevetError, type ImagevetErrorOptions } from '@imagevet/registry/names';

/**
 * Codes of {@link TrustError}.
 *
 * - Nothing there: `NOT_SIGNED` (the collection has no trust data), `TAG_NOT_SIGNED`, `DIGEST_NOT_SIGNED`.
 * - Refused trust data: `ROOT_NOT_PINNED`, `ROOT_MISMATCH` (another root than the pinned one), `ROOT_CHAIN`
 *   (a root its predecessor did not sign), `INVALID_CERTIFICATE`, `WRONG_KEY`, `INVALID_SIGNATURE`,
 *   `ALGORITHM_MISMATCH`, `THRESHOLD`, `EXPIRED`, `FREEZE` (the timestamp expired), `STALE` (valid, but older
 *   than the caller accepts), `ROLLBACK`, `FAST_FORWARD`, `MIX_AND_MATCH` (bytes other than the parent file promised), `MISSING_METADATA`, `MALFORMED`, `LIMIT_EXCEEDED`.
 * - No answer: `UNREACHABLE`, `TIMEOUT`, `AUTH_REQUIRED`, `DENIED`.
 * - Publishing: `VERSION_CONFLICT` (somebody else published), `SERVER_REFUSED`, `BROKEN_COLLECTION`.
 * - Keys: `KEY_NOT_FOUND`, `BAD_PASSPHRASE`, `INVALID_KEY`, `UNSUPPORTED_KEY`.
 * - The caller: `INVALID_NAME`, `INVALID_OPTIONS`.
 */
export type TrustErrorCode =
  | 'NOT_SIGNED'
  | 'TAG_NOT_SIGNED'
  | 'DIGEST_NOT_SIGNED'
  | 'ROOT_NOT_PINNED'
  | 'ROOT_MISMATCH'
  | 'ROOT_CHAIN'
  | 'INVALID_CERTIFICATE'
  | 'WRONG_KEY'
  | 'INVALID_SIGNATURE'
  | 'ALGORITHM_MISMATCH'
  | 'THRESHOLD'
  | 'EXPIRED'
  | 'FREEZE'
  | 'STALE'
  | 'ROLLBACK'
  | 'FAST_FORWARD'
  | 'MIX_AND_MATCH'
  | 'MISSING_METADATA'
  | 'MALFORMED'
  | 'LIMIT_EXCEEDED'
  | 'UNREACHABLE'
  | 'TIMEOUT'
  | 'AUTH_REQUIRED'
  | 'DENIED'
  | 'VERSION_CONFLICT'
  | 'SERVER_REFUSED'
  | 'BROKEN_COLLECTION'
  | 'KEY_NOT_FOUND'
  | 'BAD_PASSPHRASE'
  | 'INVALID_KEY'
  | 'UNSUPPORTED_KEY'
  | 'INVALID_NAME'
  | 'INVALID_OPTIONS';

/** What to do about a failure that says nothing closer itself. */
const HINTS: Readonly<Partial<Record<TrustErrorCode, string>>> = {
  UNREACHABLE:
    'See that the notary-server runs at this address and that its certificate is trusted; then try again.',
  LIMIT_EXCEEDED: 'No sound trust data is this large; look at what answers at the address of the server.',
};

/** Trust data could not be read, was refused, or could not be written. */
export class TrustError extends ImagevetError {
  declare readonly code: TrustErrorCode;

  constructor(code: TrustErrorCode, message: string, options: ImagevetErrorOptions = {}) {
    super(code, message, { ...options, hint: options.hint ?? HINTS[code] });
    this.name = 'TrustError';
  }
}
