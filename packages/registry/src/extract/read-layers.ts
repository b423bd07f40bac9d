import type { ResolvedImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { LayerLimits } from '../layer/limits.ts';
import { ofLayer } from '../layer/scan-image.ts';
import { readLayer } from '../layer/scan-layer.ts';
import type { LayerScan } from '../layer/types.ts';
import type { ContentSpool } from './content-spool.ts';

/** A layer, and what it must be. */
export interface LayerSource {
  readonly digest: Digest | undefined;
  readonly diffId: Digest | undefined;
  open(): AsyncIterable<Uint8Array>;
  /** Says in an error which layer it was. */
  explain(error: RegistryError): RegistryError;
}

/** The layers of an image, base first. */
export function layersOf(
  image: ResolvedImage,
  source: Pick<Fetcher, 'openBlob'>,
  signal: AbortSignal | undefined,
): readonly LayerSource[] {
  return image.layers.map((descriptor, layer) => ({
    digest: descriptor.digest,
    diffId: image.diffIds[layer],
    open: () => source.openBlob(image.reference, descriptor, { signal }),
    explain: (error) => ofLayer(error, layer, image),
  }));
}

/**
 * Reads layers into a spool, one after another, so that the bounds on all of them together are exact.
 *
 * @throws {@link RegistryError} whatever {@link scanLayer} throws.
 */
export async function readLayers(
  layers: readonly LayerSource[],
  spool: ContentSpool,
  limits: LayerLimits,
  signal: AbortSignal | undefined,
): Promise<LayerScan[]> {
  const scans: LayerScan[] = [];
  let left = limits;
  for (const { digest, diffId, open, explain } of layers) {
    try {
      const scan = await readLayer(open(), { digest, diffId, signal, hashFiles: false, limits: left }, spool);
      scans.push(scan);
      left = {
        ...left,
        maxUncompressedBytes: left.maxUncompressedBytes - scan.uncompressedSize,
        maxEntries: left.maxEntries - scan.entries.length,
      };
    } catch (error) {
      throw error instanceof RegistryError ? explain(error) : error;
    }
  }
  return scans;
}
