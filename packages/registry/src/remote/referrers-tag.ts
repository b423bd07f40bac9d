import { type Digest, digestAlgorithm, digestHex } from '../digest.ts';
import { RegistryError, type RegistryErrorCode } from '../errors.ts';
import { pause } from '../http/retry.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';
import { type Ask, itself } from './ask.ts';
import { fetchManifest } from './manifests.ts';
import { pushManifest, referrerOf, type UnlistedSubject } from './push-manifest.ts';

/** Of one subject. */
export const MAX_REFERRERS = 10_000;
/** Times a lost update is repaired before giving up. */
const MAX_REPAIRS = 8;
/** Longer than another writer's read and write take, so that its update is seen before this one is called done. */
const SETTLE_MS = 60;

/** The tag that stands for the referrers API. @see OCI distribution-spec, "Referrers Tag Schema" */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject).slice(0, 32)}-${digestHex(subject).slice(0, 64)}`;
}

/** What the fallback tag lists; nothing when there is none, or when it is no index. */
export async function readReferrersTag(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options?: OperationOptions,
): Promise<readonly Descriptor[]> {
  try {
    return (await readIndex(ask, repository, subject, options)) ?? [];
  } catch (error) {
    if (error instanceof RegistryError && NO_INDEX.has(error.code)) return [];
    throw error;
  }
}

/** What the fallback tag lists; undefined when it names something that is no index. */
async function readIndex(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options?: OperationOptions,
): Promise<readonly Descriptor[] | undefined> {
  try {
    const manifest = await fetchManifest(itself(ask), tagOf(repository, subject), {
      ...options,
      maxDescriptors: MAX_REFERRERS,
    });
    return manifest.kind === 'index' ? manifest.index.manifests : undefined;
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'NOT_FOUND') return [];
    throw error;
  }
}

const NO_INDEX: ReadonlySet<RegistryErrorCode> = new Set(['INVALID_MANIFEST', 'UNSUPPORTED']);

/**
 * Lists a referrer by the fallback tag. Registries without the referrers API have no compare-and-swap either, so the tag
 * is read back, and written again while another writer's update dropped this one. What is there and is no index is not
 * replaced.
 *
 * @throws {@link RegistryError} `UPLOAD_FAILED`
 */
export async function addToReferrersTag(
  ask: Ask,
  repository: Repository,
  { subject, referrer }: UnlistedSubject,
  options?: OperationOptions,
): Promise<void> {
  await update(
    { ask, repository, subject },
    async () => {
      const listed = await readIndex(ask, repository, subject, options).catch((error: unknown) => {
        if (error instanceof RegistryError && NO_INDEX.has(error.code)) return undefined;
        throw error;
      });
      if (listed === undefined) throw notAnIndex(repository, subject);
      return listed.some(({ digest }) => digest === referrer.digest) ? undefined : [...listed, referrer];
    },
    options,
  );
}

/** Takes a manifest that is about to be deleted out of its subject's fallback tag. */
export async function removeFromReferrersTag(
  ask: Ask,
  reference: ImageReference & { readonly digest: Digest },
  options?: OperationOptions,
): Promise<void> {
  let unlisted: UnlistedSubject | undefined;
  try {
    const { bytes, descriptor } = await fetchManifest(itself(ask), reference, options);
    unlisted = referrerOf({ bytes, mediaType: descriptor.mediaType }, descriptor);
  } catch (error) {
    // What cannot be read has no subject we could know of; deleting it is still right.
    if (!(error instanceof RegistryError) || !UNREADABLE.has(error.code)) throw error;
  }
  if (unlisted === undefined) return;
  const { subject } = unlisted;
  await update(
    { ask, repository: reference, subject },
    async () => {
      const listed = await readReferrersTag(ask, reference, subject, options);
      const left = listed.filter(({ digest }) => digest !== reference.digest);
      return left.length === listed.length ? undefined : left;
    },
    options,
  );
}

const UNREADABLE: ReadonlySet<RegistryErrorCode> = new Set([
  ...(['NOT_FOUND', 'INVALID_MANIFEST', 'AMBIGUOUS_MANIFEST', 'UNSUPPORTED'] as const),
  ...(['INVALID_DIGEST', 'LIMIT_EXCEEDED'] as const),
]);

/** Changes the tag until there is nothing left to change in it. */
async function update(
  { ask, repository, subject }: { ask: Ask; repository: Repository; subject: Digest },
  read: () => Promise<readonly Descriptor[] | undefined>,
  options: OperationOptions | undefined,
): Promise<void> {
  for (let attempt = 1; attempt <= MAX_REPAIRS; attempt += 1) {
    const wanted = await read();
    if (wanted === undefined) return;
    const document = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: wanted };
    const bytes = Buffer.from(JSON.stringify(document));
    await pushManifest(ask, tagOf(repository, subject), { bytes, mediaType: MediaType.ociIndex }, options);
    await pause(SETTLE_MS * (1 + Math.random() * attempt), options?.signal);
  }
  throw new RegistryError('UPLOAD_FAILED', `referrers of ${subject}: other writers kept undoing the update`);
}

function notAnIndex({ registry, repository }: Repository, subject: Digest): RegistryError {
  const tag = referrersTag(subject);
  return new RegistryError(
    'UPLOAD_FAILED',
    `listing a referrer of ${subject}: the tag ${registry}/${repository}:${tag} names something that is no index`,
    { hint: 'Look at what that tag is for, and move it away: referrers are listed there.' },
  );
}

function tagOf({ registry, repository }: Repository, subject: Digest): ImageReference {
  return { registry, repository, tag: referrersTag(subject) };
}
