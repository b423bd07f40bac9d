import {
  type Fetcher,
  formatPlatform,
  formatReference,
  type ImageReference,
  type Platform,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import type { LineageCache } from '../lineage-cache.ts';
import { sharedFetcher } from '../shared-services.ts';

/** Reads the image a name or digest stands for. @throws RegistryError */
export type ReadImage = (reference: ImageReference) => Promise<ResolvedImage>;

/** Reads images of one platform, or of whichever a digest names; each name once for as long as the cache keeps it. */
export function imageReader(
  registry: Fetcher,
  platform: Platform | undefined,
  { cache, signal }: { readonly cache: LineageCache; readonly signal: AbortSignal },
): ReadImage {
  const source = sharedFetcher(registry, cache);
  const wanted = platform === undefined ? {} : { platform };
  const name = platform === undefined ? 'any' : formatPlatform(platform);
  return (reference) =>
    cache.remember(
      registry,
      `image ${formatReference(reference)} ${name}`,
      (own) => cache.limited(() => resolveImage(reference, { source, ...wanted, signal: own })),
      { signal },
    );
}
