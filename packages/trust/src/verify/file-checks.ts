import { createHash, timingSafeEqual } from 'node:crypto';
import { TrustError, type TrustErrorCode } from '../errors.ts';
import { parseGoTime } from '../json/go-time.ts';
import { type MetadataOf, parseMetadata } from '../metadata/parse.ts';
import type { FileMeta, Metadata, MetadataFile } from '../metadata/types.ts';
import type { MetadataSource } from '../notary/metadata-source.ts';

/** How strictly an update looks at what it reads. */
export interface UpdateRules {
  /** The fixed start time of the update (TUF 5.1). */
  readonly now: Date;
  /** A publisher must read what expired in order to renew it; a verifier never does. */
  readonly allowExpired: boolean;
  readonly maxVersionStep: number;
  readonly maxMetadataBytes: number;
}

/**
 * Fetches the file a parent file promises, by its hash, and refuses any other bytes before parsing them.
 *
 * @throws {@link TrustError} `MISSING_METADATA`, `MIX_AND_MATCH`, `LIMIT_EXCEEDED`, `MALFORMED`
 */
export async function fetchByMeta<R extends string>(
  source: MetadataSource,
  collection: string,
  role: R,
  meta: FileMeta,
  rules: UpdateRules,
  signal?: AbortSignal,
): Promise<MetadataFile<MetadataOf<R>>> {
  const encoded = meta.hashes.sha256;
  if (encoded === undefined)
    throw new TrustError('MALFORMED', `read ${role} of ${collection}: no sha256 in its parent`);
  if (meta.length > rules.maxMetadataBytes) {
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `read ${role} of ${collection}: ${meta.length} bytes, at most ${rules.maxMetadataBytes} are accepted`,
    );
  }
  const sha256 = Buffer.from(encoded, 'base64').toString('hex');
  const bytes = await source.fetchMetadata(collection, role, {
    sha256,
    maxBytes: meta.length,
    ...(signal === undefined ? {} : { signal }),
  });
  if (bytes === undefined) {
    throw new TrustError(
      'MISSING_METADATA',
      `read ${role} of ${collection}: the server lacks ${sha256.slice(0, 12)}`,
      {
        hint: 'The collection is broken on the server; publishing it again with its keys heals it.',
      },
    );
  }
  if (!matchesMeta(bytes, meta)) {
    throw new TrustError(
      'MIX_AND_MATCH',
      `read ${role} of ${collection}: other bytes than its parent names`,
      {
        details: { expected: sha256, received: createHash('sha256').update(bytes).digest('hex') },
      },
    );
  }
  return parseMetadata(role, bytes);
}

/** Tells whether bytes have the length and every known hash a parent names, at least one. */
export function matchesMeta(bytes: Uint8Array, meta: FileMeta): boolean {
  const hashes = (['sha256', 'sha512'] as const).filter((algorithm) => Object.hasOwn(meta.hashes, algorithm));
  return (
    bytes.length === meta.length &&
    hashes.length > 0 &&
    hashes.every((algorithm) => {
      const expected = Buffer.from(meta.hashes[algorithm] ?? '', 'base64');
      const received = createHash(algorithm).update(bytes).digest();
      return expected.length === received.length && timingSafeEqual(expected, received);
    })
  );
}

/**
 * Refuses a version older than one seen before, the same version with other content, and a jump so far that nobody could
 * publish after it.
 *
 * @see TUF specification 5.4.3, 5.5.5, 5.6.4
 */
export function checkVersion(file: MetadataFile, seen: MetadataFile | undefined, rules: UpdateRules): void {
  const { version } = file.signed;
  const last = seen?.signed.version ?? 0;
  const details = { received: version, seen: last };
  if (version < last) {
    throw new TrustError(
      'ROLLBACK',
      `verify ${file.role}: version ${version} is older than ${last}, seen before`,
      {
        details,
      },
    );
  }
  if (seen !== undefined && version === last && !Buffer.from(file.signedBytes).equals(seen.signedBytes)) {
    throw new TrustError(
      'ROLLBACK',
      `verify ${file.role}: version ${version} says something else than before`,
      {
        details,
      },
    );
  }
  if (version - last > rules.maxVersionStep) {
    throw new TrustError('FAST_FORWARD', `verify ${file.role}: version jumps from ${last} to ${version}`, {
      details,
      hint: 'Whoever holds the key may want to lock out later versions. Rotate the key.',
    });
  }
}

/** Refuses an expired file. @see TUF specification 5.3.10, 5.4.4, 5.5.6, 5.6.5 */
export function checkExpiry(file: MetadataFile<Metadata>, rules: UpdateRules, code: TrustErrorCode): void {
  if (rules.allowExpired || parseGoTime(file.signed.expires) > rules.now.getTime()) return;
  throw new TrustError(code, `verify ${file.role}: expired ${file.signed.expires}`, {
    details: { expires: file.signed.expires, now: rules.now.toISOString() },
  });
}
