import {
  type Fetcher,
  formatPlatform,
  formatReference,
  type ImageReference,
  type Platform,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import type { LineageCache } from './lineage-cache.ts';
import { sharedFetcher } from './shared-services.ts';

/** Reads the image a name or digest stands for. @throws RegistryError */
export type ReadImage = (reference: ImageReference) => Promise<ResolvedImage>;

/** Reads images of one platform; each name once for as long as the cache keeps it. */
export function imageReader(
  registry: Fetcher,
  platform: Platform,
  { cache, signal }: { readonly cache: LineageCache; readonly signal: AbortSignal },
): ReadImage {
  const source = sharedFetcher(registry, cache);
  return (reference) =>
    cache.remember(
      registry,
      `image ${formatReference(reference)} ${formatPlatform(platform)}`,
      (own) => cache.limited(() => resolveImage(reference, { source, platform, signal: own })),
      { signal },
    );
}
