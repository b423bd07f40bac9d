import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { ResolvedImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { type FilesystemView, mergeLayers } from './filesystem-view.ts';
import { DEFAULT_LAYER_LIMITS } from './limits.ts';
import { type ScanLayerOptions, scanLayer } from './scan-layer.ts';
import { ScanPool } from './scan-pool.ts';
import type { LayerScan } from './types.ts';

/** What {@link scanImage} tells while it works. */
export type ScanProgress =
  | {
      readonly type: 'layer-progress';
      /** Index of the layer, 0 for the base. */
      readonly layer: number;
      /** Compressed bytes. */
      readonly receivedBytes: number;
      readonly totalBytes: number;
    }
  | { readonly type: 'layer-scanned'; readonly layer: number; readonly entries: number };

/** Where the layers come from, and what to read of them. */
export interface ScanImageOptions
  extends OperationOptions,
    Pick<ScanLayerOptions, 'hashFiles' | 'checksums' | 'keepContent' | 'limits'> {
  readonly source: Pick<Fetcher, 'openBlob'>;
  /** Layers read at once. @defaultValue 3 */
  readonly concurrency?: number;
  /**
   * Threads to scan in, 0 for none. None are used for images of less than 32 MiB compressed, where they cost more
   * than they bring, or when `keepContent` is a function. @defaultValue as many as there are processors, at most 8
   */
  readonly threads?: number;
  readonly onProgress?: (event: ScanProgress) => void;
}

/** All layers of an image, and the filesystem they make. */
export interface ImageScan {
  /** Base first; each verified against its descriptor and its diffID. */
  readonly layers: readonly LayerScan[];
  readonly filesystem: FilesystemView;
}

const DEFAULT_CONCURRENCY = 3;
/** Compressed size from which threads pay. */
const THREADED_BYTES = 32 * 2 ** 20;
const MAX_THREADS = 8;

/**
 * Reads every layer of an image once and merges them.
 *
 * @throws {@link RegistryError} `DIGEST_MISMATCH` when a layer is not what the manifest or the config says, and
 * whatever {@link scanLayer} throws; `details.layer` is the index of the layer.
 */
export async function scanImage(image: ResolvedImage, options: ScanImageOptions): Promise<ImageScan> {
  const layers = await scanLayers(image, options);
  const maxEntries = options.limits?.maxEntries ?? DEFAULT_LAYER_LIMITS.maxEntries;
  return { layers, filesystem: mergeLayers(layers, { maxEntries }) };
}

/** Reads some layers of an image, as {@link scanImage} reads all: those from index `start` to before `end`. */
export async function scanLayers(
  image: ResolvedImage,
  options: ScanImageOptions & { readonly start?: number; readonly end?: number },
): Promise<readonly LayerScan[]> {
  if (image.layers.length !== image.diffIds.length) {
    throw new RegistryError(
      'INVALID_CONFIG',
      `image ${image.manifest.digest} has ${image.layers.length} layers but ${image.diffIds.length} diffIDs`,
    );
  }
  const { start = 0, end = image.layers.length, concurrency = DEFAULT_CONCURRENCY } = options;
  const indexes = [...image.layers.keys()].slice(start, end);
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const pool = await openPool(image.layers.slice(start, end), options);
  const limit = pLimit(pool === undefined ? concurrency : Math.min(concurrency, pool.size));
  // The same layer twice, as empty ones often are, is read once.
  const identity = (index: number) => `${image.layers[index]!.digest} ${image.diffIds[index]}`;
  const scans = new Map<string, Promise<LayerScan>>();
  // The largest first, so that none is left alone at the end.
  for (const index of indexes.toSorted((one, other) => image.layers[other]!.size - image.layers[one]!.size)) {
    if (scans.has(identity(index))) continue;
    const scan = limit(() => scanOne(image, index, { ...options, signal }, pool));
    scans.set(identity(index), scan);
  }
  try {
    return await Promise.all(indexes.map((index) => scans.get(identity(index))!));
  } catch (error) {
    failure.abort(error);
    await Promise.allSettled(scans.values());
    throw error;
  } finally {
    pool?.close();
  }
}

async function openPool(
  layers: readonly Descriptor[],
  options: ScanImageOptions,
): Promise<ScanPool | undefined> {
  const { threads = Math.min(availableParallelism(), MAX_THREADS), concurrency = DEFAULT_CONCURRENCY } =
    options;
  const size = layers.reduce((total, layer) => total + layer.size, 0);
  if (size < THREADED_BYTES || typeof options.keepContent === 'function') return undefined;
  const count = Math.min(threads, concurrency, layers.length);
  return count > 0 ? ScanPool.open(count) : undefined;
}

async function scanOne(
  image: ResolvedImage,
  layer: number,
  options: ScanImageOptions & { readonly signal: AbortSignal },
  pool: ScanPool | undefined,
): Promise<LayerScan> {
  const { source, onProgress, signal, hashFiles, checksums, keepContent, limits } = options;
  const descriptor = image.layers[layer]!;
  signal.throwIfAborted();
  try {
    const chunks = counting(source.openBlob(image.reference, descriptor, { signal }), (receivedBytes) =>
      onProgress?.({ type: 'layer-progress', layer, receivedBytes, totalBytes: descriptor.size }),
    );
    const { digest } = descriptor;
    const diffId = image.diffIds[layer]!;
    const what = { hashFiles, checksums, limits, digest, diffId };
    const scan =
      pool === undefined
        ? await scanLayer(chunks, { ...what, keepContent, signal })
        : await pool.scan(chunks, { ...what, keepContent: keepContent as RegExp | undefined }, signal);
    onProgress?.({ type: 'layer-scanned', layer, entries: scan.entries.length });
    return scan;
  } catch (error) {
    throw error instanceof RegistryError ? ofLayer(error, layer, image) : error;
  }
}

/** Reports at every mebibyte and at the end. */
async function* counting(
  chunks: AsyncIterable<Uint8Array>,
  report: (receivedBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  let reported = 0;
  for await (const chunk of chunks) {
    received += chunk.byteLength;
    if (received - reported >= 2 ** 20) {
      reported = received;
      report(received);
    }
    yield chunk;
  }
  if (received !== reported) report(received);
}

/** Says in the error which layer it was. */
export function ofLayer(error: RegistryError, layer: number, image: ResolvedImage): RegistryError {
  const { digest } = image.layers[layer]!;
  return new RegistryError(error.code, `layer ${layer} (${digest}): ${error.message}`, {
    cause: error,
    hint: error.hint,
    details: { ...error.details, layer, digest },
  });
}
