import { type Digest, digestAlgorithm, digestHex } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { readBody } from '../http/transport.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import type { Ask } from './client.ts';
import { fetchManifest } from './manifests.ts';
import { nextPage } from './tags.ts';

const MAX_REFERRERS = 10_000;

/**
 * Lists what refers to a manifest, by the referrers API, or by the fallback tag where the registry has none.
 *
 * @see OCI distribution-spec, "Listing Referrers", "Unavailable Referrers API"
 */
export async function* listReferrers(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options: OperationOptions & { readonly artifactType?: string } = {},
): AsyncGenerator<Descriptor, void, undefined> {
  let count = 0;
  for await (const descriptor of everyReferrer(ask, repository, subject, options)) {
    count += 1;
    if (count > MAX_REFERRERS) {
      throw new RegistryError('LIMIT_EXCEEDED', `referrers of ${subject}: more than ${MAX_REFERRERS}`);
    }
    // Filtered here too: a registry may ignore the filter.
    if (options.artifactType === undefined || descriptor.artifactType === options.artifactType)
      yield descriptor;
  }
}

/** The tag that stands for the referrers API. */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject).slice(0, 32)}-${digestHex(subject).slice(0, 64)}`;
}

async function* everyReferrer(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options: OperationOptions & { readonly artifactType?: string },
): AsyncGenerator<Descriptor, void, undefined> {
  const what = `referrers of ${formatReference({ ...repository, digest: subject })}`;
  const query =
    options.artifactType === undefined
      ? ''
      : `?${new URLSearchParams({ artifactType: options.artifactType })}`;
  let path: string | URL | undefined = `referrers/${subject}${query}`;
  for (let page = 0; path !== undefined && page < MAX_REFERRERS; page += 1) {
    const response = await ask(
      {
        method: 'GET',
        repository,
        path,
        headers: { accept: MediaType.ociIndex },
        action: 'pull',
        accept: [200, 404, 405],
        subject: what,
      },
      options,
    );
    if (response.status !== 200) {
      await response.dump();
      yield* fallback(ask, repository, subject, options);
      return;
    }
    const manifest = parseManifest(await readBody(response, MAX_MANIFEST_BYTES, what), MediaType.ociIndex);
    if (manifest.kind === 'index') yield* manifest.index.manifests;
    path = nextPage(response, what);
  }
}

async function* fallback(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options: OperationOptions,
): AsyncGenerator<Descriptor, void, undefined> {
  try {
    const manifest = await fetchManifest(ask, { ...repository, tag: referrersTag(subject) }, options);
    if (manifest.kind === 'index') yield* manifest.index.manifests;
  } catch (error) {
    if (!(error instanceof RegistryError && error.code === 'NOT_FOUND')) throw error;
  }
}
