import { type Digest, parseDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { nextPage } from '../http/link.ts';
import { readBody } from '../http/request.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import { type Ask, PULL } from './ask.ts';
import { MAX_REFERRERS, readReferrersTag } from './referrers-tag.ts';

export { addToReferrersTag, removeFromReferrersTag } from './referrers-tag.ts';

const MAX_PAGES = 1000;

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
  const seen = new Set<Digest>();
  for await (const descriptor of everyReferrer(ask, repository, subject, options)) {
    if (seen.has(descriptor.digest)) continue;
    if (seen.size >= MAX_REFERRERS) {
      throw new RegistryError('LIMIT_EXCEEDED', `referrers of ${subject}: more than ${MAX_REFERRERS}`);
    }
    seen.add(descriptor.digest);
    // Filtered here too: a registry may ignore the filter, whatever OCI-Filters-Applied says.
    if (options.artifactType === undefined || descriptor.artifactType === options.artifactType)
      yield descriptor;
  }
}

async function* everyReferrer(
  ask: Ask,
  repository: Repository,
  subject: Digest,
  options: OperationOptions & { readonly artifactType?: string },
): AsyncGenerator<Descriptor, void, undefined> {
  const { registry, repository: name } = repository;
  const what = `referrers of ${formatReference({ registry, repository: name, digest: subject })}`;
  const { artifactType } = options;
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`;
  const visited = new Set<string>();
  let path: string | URL | undefined = `referrers/${parseDigest(subject)}${query}`;
  while (path !== undefined) {
    const response = await ask(
      {
        method: 'GET',
        repository,
        path,
        headers: { accept: MediaType.ociIndex },
        action: PULL,
        accept: [200, 400, 404, 405],
        maxBodyBytes: MAX_MANIFEST_BYTES,
        subject: what,
      },
      options,
    );
    if (response.status !== 200) {
      await response.dump();
      yield* await readReferrersTag(ask, repository, subject, options);
      return;
    }
    const manifest = parseManifest(await readBody(response, MAX_MANIFEST_BYTES, what), {
      contentType: MediaType.ociIndex,
      maxDescriptors: MAX_REFERRERS,
    });
    if (manifest.kind === 'index') yield* manifest.index.manifests;
    const next = nextPage(response, what);
    if (next !== undefined && (visited.has(next.href) || visited.size >= MAX_PAGES)) {
      throw new RegistryError('LIMIT_EXCEEDED', `${what}: the pages do not end`);
    }
    if (next !== undefined) visited.add(next.href);
    path = next;
  }
}
