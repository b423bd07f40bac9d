import type { Digest, ImageReference, OperationOptions } from '@imagevet/registry';
import { TrustError } from './errors.ts';
import { parseGoTime } from './json/go-time.ts';
import { certificateExpiry } from './keys/root-certificate.ts';
import { checkTargetName, RELEASES_ROLE } from './metadata/names.ts';
import type { MetadataFile, TargetMeta } from './metadata/types.ts';
import type { NotaryServer } from './notary/client.ts';
import type { MetadataSource } from './notary/metadata-source.ts';
import { defaultNotaryUrl, withMetadataSource } from './notary/server.ts';
import type { RootTrust } from './verify/root-trust.ts';
import { createMemoryTrustState, type TrustStateStore } from './verify/state.ts';
import { saveUpdate, updateCollection } from './verify/update.ts';
import type { FoundTarget, VerifiedCollection } from './verify/verified-collection.ts';

/** A tag of a collection, for collections that are not image repositories. */
export interface CollectionTag {
  /** Collection name (GUN), as in `docker.io/library/php`. */
  readonly collection: string;
  readonly tag: string;
}

/** How to verify. */
export interface VerifyOptions extends OperationOptions {
  /**
   * A notary server, or another source of its files, such as an archive.
   * @defaultValue the server docker would use for the image's registry
   */
  readonly server?: NotaryServer | MetadataSource;
  /** Why the root is trusted; may be left out when `state` already holds a verified root. */
  readonly root?: RootTrust;
  /**
   * Remembers what was verified: without it every call is a first contact and an older but unexpired state of the
   * collection cannot be told from the newest. @defaultValue memory of this call
   */
  readonly state?: TrustStateStore;
  readonly now?: () => Date;
  /**
   * Roles whose tags count, in order; a tag that only another role signed is refused.
   * @defaultValue `['targets/releases', 'targets']`, as docker
   */
  readonly roles?: readonly string[];
  /** How far a version may be ahead of the last one seen. @defaultValue 1 000 000 */
  readonly maxVersionStep?: number;
  /** Longest metadata file accepted. @defaultValue 32 MiB */
  readonly maxMetadataBytes?: number;
  /**
   * Longest time since the server signed its timestamp: how old an answer somebody between may replay. The format records
   * no signing time; it is the expiry less {@link VerifyOptions.timestampLifetimeMs}. notary-server signs a timestamp anew
   * only with a publish or once it expired, so a quiet collection needs publishes (`witness`) as often as this asks for.
   * @defaultValue no limit but the timestamp's own expiry
   */
  readonly maxStalenessMs?: number;
  /** How long the server's timestamps are valid when it signs them. @defaultValue 14 days, as notary-server */
  readonly timestampLifetimeMs?: number;
}

/** What a collection vouches for. */
export interface TrustedTarget {
  readonly collection: string;
  readonly tag: string;
  readonly digest: Digest;
  /** Bytes of the manifest the digest names. */
  readonly length: number;
  /** Role that signed the tag. */
  readonly role: string;
  /** Canonical ids of the keys of that role whose signatures hold. */
  readonly keyIds: readonly string[];
  /** Ids of the root certificates that signed the root, as `docker trust inspect` shows them. */
  readonly rootKeyIds: readonly string[];
  /** Earliest moment a part of the chain expires, certificates included; RFC 3339. */
  readonly expires: string;
  /** When the server's timestamp expires; RFC 3339. */
  readonly timestampExpires: string;
  /** Versions of the files the answer rests on, by role. */
  readonly versions: Readonly<Record<string, number>>;
  /** Free data the signer attached. */
  readonly custom?: unknown;
}

/** Default roles, in docker's order. */
const DEFAULT_ROLES: readonly string[] = [RELEASES_ROLE, 'targets'];

/**
 * Resolves a tag to the digest its signers vouch for, after a full TUF update from the trusted root down. A reference with
 * a digest is verified too: its tag, or any released tag when it has none, must stand for exactly that digest.
 *
 * @throws {@link TrustError} `NOT_SIGNED`, `TAG_NOT_SIGNED`, `DIGEST_NOT_SIGNED`, or why the trust data is refused or not
 *   to be had; nothing is ever answered from an earlier run.
 */
export async function resolveTrusted(
  subject: ImageReference | CollectionTag,
  options: VerifyOptions = {},
): Promise<TrustedTarget> {
  const { collection, tag, digest } = describe(subject);
  return withVerified(subject, options, async (verified) => {
    const found =
      tag === undefined
        ? await findDigest(verified, digest, options)
        : { name: tag, found: await findTag(verified, tag, options) };
    const target = toTrusted(verified, found.name, found.found);
    if (digest !== undefined && digest !== target.digest) {
      throw new TrustError(
        'DIGEST_NOT_SIGNED',
        `verify ${collection}:${found.name}: another digest is signed`,
        {
          details: { expected: digest, received: target.digest },
        },
      );
    }
    return target;
  });
}

/**
 * Lists every tag a collection vouches for, sorted by name, after a full TUF update: each that {@link resolveTrusted} gives
 * a digest for. A tag that was signed and not released, or without a sha256, is none.
 */
export async function listTrusted(
  subject: { readonly registry: string; readonly repository: string } | { readonly collection: string },
  options: VerifyOptions = {},
): Promise<TrustedTarget[]> {
  return withVerified(subject, options, async (verified) => {
    const names = new Set<string>();
    const roles = options.roles ?? DEFAULT_ROLES;
    for (const role of roles) {
      const targets = (await verified.role(role, options))?.file.signed.targets ?? {};
      for (const name of Object.keys(targets ?? {})) names.add(name);
    }
    const result: TrustedTarget[] = [];
    for (const name of [...names].sort()) {
      const found = await lookUp(verified, name, options);
      if (found === undefined || !roles.includes(found.role) || digestOfTarget(found.target) === undefined)
        continue;
      result.push(toTrusted(verified, name, found));
    }
    return result;
  });
}

async function withVerified<T>(
  subject: Parameters<typeof describe>[0],
  options: VerifyOptions,
  use: (verified: VerifiedCollection) => Promise<T>,
): Promise<T> {
  const { collection, registry } = describe(subject);
  const state = options.state ?? createMemoryTrustState();
  const server = options.server ?? (registry === undefined ? undefined : { url: defaultNotaryUrl(registry) });
  if (server === undefined)
    throw new TrustError('INVALID_OPTIONS', `verify ${collection}: no notary server was given`);
  return withMetadataSource(server, async (source) => {
    const { root, now, maxVersionStep, maxMetadataBytes, maxStalenessMs, timestampLifetimeMs, signal } =
      options;
    const verified = await updateCollection(collection, {
      source,
      root,
      state,
      now,
      maxVersionStep,
      maxMetadataBytes,
      maxStalenessMs,
      timestampLifetimeMs,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const result = await use(verified);
      await saveUpdate(verified, state, now?.());
      return result;
    } catch (error) {
      // "Not signed" is an answer too: whoever saw a tag revoked must not take it back from older metadata.
      const answered = TrustError.is(error) && ['TAG_NOT_SIGNED', 'DIGEST_NOT_SIGNED'].includes(error.code);
      if (answered) await saveUpdate(verified, state, now?.());
      throw error;
    }
  });
}

function describe(
  subject:
    | { registry: string; repository: string; tag?: string; digest?: Digest }
    | { collection: string; tag?: string },
): { collection: string; registry?: string; tag?: string; digest?: Digest } {
  if ('collection' in subject) return subject;
  const { registry, repository, digest } = subject;
  const tag = subject.tag ?? (digest === undefined ? 'latest' : undefined);
  return {
    collection: `${registry}/${repository}`,
    registry,
    ...(tag === undefined ? {} : { tag: checkTargetName(tag) }),
    ...(digest === undefined ? {} : { digest }),
  };
}

async function findTag(
  verified: VerifiedCollection,
  tag: string,
  options: VerifyOptions,
): Promise<FoundTarget> {
  const found = await lookUp(verified, tag, options);
  if (found === undefined)
    throw new TrustError('TAG_NOT_SIGNED', `verify ${verified.collection}:${tag}: the tag is not signed`);
  const roles = options.roles ?? DEFAULT_ROLES;
  if (roles.includes(found.role)) return found;
  throw new TrustError(
    'TAG_NOT_SIGNED',
    `verify ${verified.collection}:${tag}: signed only by ${found.role}`,
    { hint: `The tag was not released: no role of ${roles.join(', ')} signed it.` },
  );
}

async function findDigest(
  verified: VerifiedCollection,
  digest: Digest | undefined,
  options: VerifyOptions,
): Promise<{ name: string; found: FoundTarget }> {
  const roles = options.roles ?? DEFAULT_ROLES;
  for (const role of roles) {
    const targets = (await verified.role(role, options))?.file.signed.targets ?? {};
    for (const [name, target] of Object.entries(targets ?? {})) {
      if (digestOfTarget(target) !== digest) continue;
      const found = await lookUp(verified, name, options);
      if (found === undefined || !roles.includes(found.role)) continue;
      if (digestOfTarget(found.target) === digest) return { name, found };
    }
  }
  throw new TrustError(
    'DIGEST_NOT_SIGNED',
    `verify ${verified.collection}: no released tag stands for ${digest}`,
  );
}

// Docker's lookup: each role with the roles below it, without the subtrees of the other roles in the list; a hit below
// a listed role is a tag somebody signed and nobody released.
async function lookUp(
  verified: VerifiedCollection,
  tag: string,
  options: VerifyOptions,
): Promise<FoundTarget | undefined> {
  const roles = options.roles ?? DEFAULT_ROLES;
  for (const role of roles) {
    const skip = roles.filter((other) => other !== role);
    const found = await verified.find(tag, role, { ...options, skip });
    if (found !== undefined) return found;
  }
  return undefined;
}

function toTrusted(verified: VerifiedCollection, tag: string, found: FoundTarget): TrustedTarget {
  const digest = digestOfTarget(found.target);
  if (digest === undefined) {
    throw new TrustError('MALFORMED', `verify ${verified.collection}:${tag}: no usable sha256 is signed`);
  }
  const { root, timestamp, snapshot } = verified;
  const files: MetadataFile[] = [root, timestamp, snapshot, found.file];
  const certificates = Object.values(root.signed.roles.root.keyids ?? []).flatMap((id) => {
    const key = root.signed.keys[id];
    return key === undefined ? [] : [certificateExpiry(key)?.getTime() ?? Number.POSITIVE_INFINITY];
  });
  const expires = Math.min(...files.map(({ signed }) => parseGoTime(signed.expires)), ...certificates);
  return {
    collection: verified.collection,
    tag,
    digest,
    length: found.target.length,
    role: found.role,
    keyIds: found.signedBy.map(({ keyId }) => keyId),
    rootKeyIds: verified.rootKeys.map(({ tufId }) => tufId),
    expires: new Date(expires).toISOString(),
    timestampExpires: timestamp.signed.expires,
    versions: Object.fromEntries(files.map(({ role, signed }) => [role, signed.version])),
    ...(found.target.custom === undefined ? {} : { custom: found.target.custom }),
  };
}

function digestOfTarget(target: TargetMeta): Digest | undefined {
  const hash = Buffer.from(target.hashes.sha256 ?? '', 'base64');
  return hash.length === 32 ? `sha256:${hash.toString('hex')}` : undefined;
}
