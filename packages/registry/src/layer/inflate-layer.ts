import { Inflation } from './inflate.ts';
import { checkInflation, DEFAULT_LAYER_LIMITS, type LayerLimits } from './limits.ts';

/**
 * Inflates the blob of a layer, or of another archive: gzip, zstd or neither, by its first bytes. The pieces are the caller's to keep.
 *
 * @param limits - bounds of size and ratio; the others are not looked at
 * @throws {@link RegistryError} `INVALID_LAYER` when it does not inflate, `LIMIT_EXCEEDED` when it does too well; whatever `blob` throws
 */
export async function* inflateLayer(
  blob: AsyncIterable<Uint8Array>,
  limits: Pick<LayerLimits, 'maxUncompressedBytes' | 'maxRatio'> = DEFAULT_LAYER_LIMITS,
): AsyncGenerator<Buffer, void, undefined> {
  const inflation = new Inflation(blob);
  let size = 0;
  for await (const piece of inflation) {
    size += piece.byteLength;
    checkInflation(inflation.receivedBytes, size, limits);
    // The inflation takes the piece back when it is asked for the next.
    yield Buffer.from(piece);
  }
}
