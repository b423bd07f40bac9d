import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { Fetcher } from './interfaces.ts';

/** Finds what refers to a subject among the manifests a layout lists, by reading them. */
export async function* referrersAmong(
  listed: Iterable<Descriptor>,
  about: {
    readonly source: Pick<Fetcher, 'fetchManifest'>;
    readonly repository: Repository;
    readonly subject: Digest;
  },
  options: OperationOptions & { readonly artifactType?: string },
): AsyncGenerator<Descriptor, void, undefined> {
  const { registry, repository } = about.repository;
  const seen = new Set<Digest>();
  for (const { digest } of listed) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    const found = await about.source
      .fetchManifest({ registry, repository, digest }, options)
      .catch(unlessMissing);
    const referrer = found && referrerOf(found, about.subject);
    if (referrer === undefined) continue;
    if (options.artifactType === undefined || referrer.artifactType === options.artifactType) yield referrer;
  }
}

function referrerOf(found: VerifiedManifest, subject: Digest): Descriptor | undefined {
  if (found.kind === 'schema1') return undefined;
  const document = found.kind === 'image' ? found.manifest : found.index;
  if (document.subject?.digest !== subject) return undefined;
  const artifactType =
    document.artifactType ?? (found.kind === 'image' ? found.manifest.config.mediaType : undefined);
  return {
    ...found.descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
  };
}

/** A layout may list what it does not hold. */
function unlessMissing(error: unknown): undefined {
  if (!(error instanceof RegistryError && error.code === 'NOT_FOUND')) throw error;
}
