import { type Digest, digestAlgorithm, digestHex } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { pause } from '../http/retry.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';
import { type Ask, itself } from './ask.ts';
import { fetchManifest, pushManifest, referrerOf, type UnlistedSubject } from './manifests.ts';

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
    const manifest = await fetchManifest(itself(ask), tagOf(repository, subject), options);
    return manifest.kind === 'index' ? manifest.index.manifests : [];
  } catch (error) {
    if (error instanceof RegistryError && NOT_LISTED.has(error.code)) return [];
    throw error;
  }
}

const NOT_LISTED: ReadonlySet<string> = new Set(['NOT_FOUND', 'INVALID_MANIFEST', 'UNSUPPORTED']);

/**
 * Lists a referrer by the fallback tag. Registries without the referrers API have no compare-and-swap either, so the tag
 * is read back, and written again while another writer's update dropped this one.
 *
 * @throws {@link RegistryError} `UPLOAD_FAILED`
 */
export function addToReferrersTag(
  ask: Ask,
  repository: Repository,
  { subject, referrer }: UnlistedSubject,
  options?: OperationOptions,
): Promise<void> {
  return update(ask, repository, subject, options, (listed) =>
    listed.some(({ digest }) => digest === referrer.digest) ? undefined : [...listed, referrer],
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
  await update(ask, reference, unlisted.subject, options, (listed) =>
    listed.some(({ digest }) => digest === reference.digest)
      ? listed.filter(({ digest }) => digest !== reference.digest)
      : undefined,
  );
}

const UNREADABLE: ReadonlySet<string> = new Set([
  ...[
    'NOT_FOUND',
    'INVALID_MANIFEST',
    'AMBIGUOUS_MANIFEST',
    'UNSUPPORTED',
    'INVALID_DIGEST',
    'LIMIT_EXCEEDED',
  ],
]);

/** Changes the tag until `change` finds nothing left to change. */
async function update(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options: OperationOptions | undefined,
  change: (listed: readonly Descriptor[]) => readonly Descriptor[] | undefined,
): Promise<void> {
  for (let attempt = 1; attempt <= MAX_REPAIRS; attempt += 1) {
    const wanted = change(await readReferrersTag(ask, repository, subject, options));
    if (wanted === undefined) return;
    const document = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: wanted };
    const bytes = Buffer.from(JSON.stringify(document));
    await pushManifest(ask, tagOf(repository, subject), { bytes, mediaType: MediaType.ociIndex }, options);
    await pause(SETTLE_MS * (1 + Math.random() * attempt), options?.signal);
  }
  throw new RegistryError('UPLOAD_FAILED', `referrers of ${subject}: other writers kept undoing the update`);
}

function tagOf({ registry, repository }: Repository, subject: Digest): ImageReference {
  return { registry, repository, tag: referrersTag(subject) };
}
