import { TrustError } from '../errors.ts';
import { parseGoTime } from '../json/go-time.ts';
import type { MetadataFile, TimestampMetadata } from '../metadata/types.ts';

/** How old a timestamp may be. */
export interface StalenessOptions {
  /** Longest time since the timestamp was signed. @defaultValue no limit but its expiry */
  readonly maxStalenessMs?: number | undefined;
  /** How long a timestamp is valid when it is signed. @defaultValue 14 days */
  readonly timestampLifetimeMs?: number | undefined;
}

/** How long notary-server's timestamps are valid: a constant, it has no setting for it. */
export const TIMESTAMP_LIFETIME_MS: number = 14 * 86_400_000;

/** How far the server's clock may be ahead of ours. */
const CLOCK_SKEW_MS = 5 * 60_000;

/**
 * Refuses a timestamp that was signed too long ago. One that is valid for longer than any the server signs would hide its age.
 *
 * @throws {@link TrustError} `STALE`, `INVALID_OPTIONS`
 */
export function checkStaleness(
  timestamp: MetadataFile<TimestampMetadata>,
  options: StalenessOptions,
  now: Date,
): void {
  const { maxStalenessMs, timestampLifetimeMs = TIMESTAMP_LIFETIME_MS } = options;
  if (maxStalenessMs === undefined) return;
  if (!(maxStalenessMs >= 0) || !(timestampLifetimeMs > 0)) {
    throw new TrustError(
      'INVALID_OPTIONS',
      'verify: maxStalenessMs and timestampLifetimeMs must be times in milliseconds',
    );
  }
  const { expires } = timestamp.signed;
  const ageMs = now.getTime() - (parseGoTime(expires) - timestampLifetimeMs);
  if (ageMs >= -CLOCK_SKEW_MS && ageMs <= maxStalenessMs) return;
  const told = ageMs < 0 ? `expires only ${expires}` : `signed ${Math.round(ageMs / 1000)} s ago`;
  throw new TrustError(
    'STALE',
    `verify timestamp: ${told}, at most ${maxStalenessMs / 1000} s are accepted`,
    {
      details: { expires, ageMs, maxStalenessMs, timestampLifetimeMs },
      hint:
        ageMs < 0
          ? 'The server signs timestamps for longer than timestampLifetimeMs says, so their age is unknown.'
          : 'Either an old answer is replayed, or nobody published: a publish makes the server sign a new timestamp.',
    },
  );
}
