import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResolvedImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import type { Digest } from '../digest.ts';
import { mergeTree } from '../layer/filesystem-view.ts';
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from '../layer/limits.ts';
import { ContentSpool } from './content-spool.ts';
import { ExtractionLog } from './extraction-log.ts';
import { placeTree } from './place-tree.ts';
import { type LayerSource, layersOf, readLayers } from './read-layers.ts';
import { ROOT, stage } from './staging.ts';
import type { Extraction, ExtractOptions } from './types.ts';

/** Where the layers come from, and how to put them on disk. */
export interface ExtractImageOptions extends ExtractOptions {
  readonly source: Pick<Fetcher, 'openBlob'>;
}

/** What a single layer must be, and how to put it on disk. */
export interface ExtractLayerOptions extends ExtractOptions {
  /** What the blob must hash to. */
  readonly digest?: Digest;
  /** What the uncompressed archive must hash to. */
  readonly diffId?: Digest;
}

/**
 * Puts the merged filesystem of an image into a directory: complete or not at all, and never outside of it.
 *
 * Every layer is verified before any of its names is used. Owners and extended attributes are not set; devices and
 * pipes are not made. The result tells what was left out and why.
 *
 * @param directory - Absent or empty, in a directory that exists.
 * @throws {@link RegistryError} `ALREADY_EXISTS`, `EGRESS_REFUSED`, `NOT_FOUND` for the directory; and whatever
 * {@link scanImage} throws. `DISK_FAILED` when the disk is full or does not take it otherwise.
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export function extractImage(
  image: ResolvedImage,
  directory: string,
  options: ExtractImageOptions,
): Promise<Extraction> {
  return extract(layersOf(image, options.source, options.signal), directory, options);
}

/**
 * Puts one layer's own files into a directory, as {@link extractImage} does a whole image; its whiteouts hide
 * nothing here and are listed as skipped.
 *
 * @throws {@link RegistryError} as {@link extractImage}, and whatever {@link scanLayer} throws.
 */
export function extractLayer(
  chunks: AsyncIterable<Uint8Array>,
  directory: string,
  options: ExtractLayerOptions = {},
): Promise<Extraction> {
  const { digest, diffId } = options;
  return extract([{ digest, diffId, open: () => chunks, explain: (error) => error }], directory, options);
}

async function extract(
  layers: readonly LayerSource[],
  directory: string,
  options: ExtractOptions,
): Promise<Extraction> {
  const { signal, overwrite = false, keepModes = false, outsideLinks = 'keep' } = options;
  const portable = options.portable === true || process.platform === 'win32';
  const limits: LayerLimits = { ...DEFAULT_LAYER_LIMITS, ...options.limits };
  signal?.throwIfAborted();
  return stage(directory, overwrite, async (folder) => {
    const content = join(folder, 'content');
    await mkdir(content, 0o700);
    const spool = new ContentSpool(content);
    try {
      const scans = await readLayers(layers, spool, limits, signal);
      const { root, anomalies } = mergeTree(scans, limits.maxEntries);
      const log = new ExtractionLog();
      for (const entry of scans[0]?.entries ?? []) {
        if (entry.type === 'whiteout' || entry.type === 'opaque')
          log.skip(entry.path, entry.type, 'whiteout');
      }
      await placeTree(root, join(folder, ROOT), spool, log, { keepModes, outsideLinks, portable, signal });
      return log.result(directory, [...scans.flatMap((scan) => scan.anomalies), ...anomalies]);
    } finally {
      await spool.close();
    }
  });
}
