import { type Digest, Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { OperationOptions } from '../options.ts';
import { abortable } from './abortable.ts';
import { Inflation } from './inflate.ts';
import { type ContentSink, LayerReader } from './layer-reader.ts';
import { checkInflation, DEFAULT_LAYER_LIMITS, type LayerLimits } from './limits.ts';
import type { LayerEntry, LayerScan } from './types.ts';

/** What to read of a layer, and how far to go. */
export interface ScanLayerOptions extends OperationOptions {
  /** What the blob must hash to. */
  readonly digest?: Digest;
  /** What the uncompressed archive must hash to. */
  readonly diffId?: Digest;
  /** Whether to compute the SHA-256 of every file. @defaultValue true */
  readonly hashFiles?: boolean;
  /** Whether to compute MD5 and SHA-1 of every file too, which package managers keep. @defaultValue false */
  readonly checksums?: boolean;
  /**
   * Files whose content to keep: a pattern of paths, or a function asked before the content is read, which may
   * answer how many leading bytes to keep. All that is kept counts against `maxKeptBytes`.
   */
  readonly keepContent?: RegExp | ((entry: LayerEntry) => boolean | number);
  readonly limits?: Partial<LayerLimits>;
}

/**
 * Reads a layer's blob once, in memory, and tells everything about it: digests of the blob, of the archive and of
 * each file, all entries and whiteouts, and what is odd. Nothing is extracted or written.
 *
 * @throws {@link RegistryError} `DIGEST_MISMATCH` when the bytes are not those `options` names; `INVALID_LAYER` for
 * a corrupt stream or archive and names that leave the root; `UNSUPPORTED` for sparse files; `LIMIT_EXCEEDED`.
 * @see OCI image-spec, layer.md
 */
export function scanLayer(
  chunks: AsyncIterable<Uint8Array>,
  options: ScanLayerOptions = {},
): Promise<LayerScan> {
  return readLayer(chunks, options);
}

/** As {@link scanLayer}, and hands the content of files to a sink. */
export async function readLayer(
  chunks: AsyncIterable<Uint8Array>,
  options: ScanLayerOptions,
  sink?: ContentSink,
): Promise<LayerScan> {
  const { hashFiles = true, checksums = false, keepContent, signal } = options;
  const limits: LayerLimits = { ...DEFAULT_LAYER_LIMITS, ...options.limits };
  const blob = new Digester(options.digest && digestAlgorithm(options.digest));
  const archive = new Digester(options.diffId && digestAlgorithm(options.diffId));
  const reader = new LayerReader({ limits, hashFiles, checksums, keepContent, sink });
  const ended = new AbortController();
  const stop = signal ? AbortSignal.any([signal, ended.signal]) : ended.signal;
  const inflation = new Inflation(hashing(abortable(chunks, stop), blob));
  try {
    for await (const bytes of inflation) {
      signal?.throwIfAborted();
      archive.update(bytes);
      checkInflation(inflation.receivedBytes, archive.size, limits);
      reader.push(bytes);
      await sink?.drain();
    }
  } finally {
    // The source may be waiting for more.
    ended.abort();
  }
  reader.end();
  if (inflation.trailingBytes > 0) reader.onAnomaly('data-after-compression', '');
  return {
    digest: verified(blob.digest(), options.digest, 'blob'),
    size: blob.size,
    diffId: verified(archive.digest(), options.diffId, 'uncompressed layer'),
    uncompressedSize: archive.size,
    compression: inflation.compression,
    severalMembers: inflation.severalMembers,
    trailingBytes: inflation.trailingBytes,
    entries: reader.entries,
    anomalies: reader.anomalies,
  };
}

async function* hashing(chunks: AsyncIterable<Uint8Array>, digester: Digester): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    digester.update(chunk);
    yield chunk;
  }
}

function verified(received: Digest, expected: Digest | undefined, what: string): Digest {
  if (expected === undefined || received === expected) return received;
  throw new RegistryError('DIGEST_MISMATCH', `${what} is ${received}, expected ${expected}`, {
    hint: 'The registry or a proxy altered the layer, or the image config does not belong to it.',
    details: { expected, received },
  });
}
