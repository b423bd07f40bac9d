import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inflateLayer } from './inflate-layer.ts';

/** A zstd stream that begins with a frame every reader passes over. @see RFC 8878 3.1.2 */
const afterSkipped = (content: Buffer) =>
  Buffer.concat([Buffer.from('502a4d180300000061626c', 'hex'), zstdCompressSync(content)]);

describe('inflateLayer()', () => {
  const read = async (pieces: readonly Uint8Array[]) => {
    const source = async function* () {
      yield* pieces;
    };
    const chunks: Buffer[] = [];
    for await (const chunk of inflateLayer(source())) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  test('gives what was compressed, however it comes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), fc.integer({ min: 1, max: 9 }), async (content, size) => {
        const plain = Buffer.concat([Buffer.from('tar'), content]);
        for (const blob of [plain, gzipSync(plain), zstdCompressSync(plain), afterSkipped(plain)]) {
          const pieces = Array.from({ length: Math.ceil(blob.length / size) }, (_, index) =>
            blob.subarray(index * size, (index + 1) * size),
          );
          expect(await read(pieces)).toEqual(plain);
        }
      }),
      { numRuns: 25 },
    );
  });

  test('rejects with what the source throws, and for a stream that is cut', async () => {
    const failing = async function* () {
      yield gzipSync('x'.repeat(100)).subarray(0, 12);
      throw new Error('gone');
    };
    const all = async () => {
      for await (const _ of inflateLayer(failing()));
    };
    await expect(all()).rejects.toThrow('gone');
    await expect(read([gzipSync('x'.repeat(100)).subarray(0, 12)])).rejects.toThrow(/unexpected end/);
  });
});
