import { PassThrough, Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunksOf } from './chunks.ts';

describe('chunksOf()', () => {
  test('gives every byte in order, however the reader dawdles', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 30 }),
        fc.infiniteStream(fc.boolean()),
        async (pieces, dawdles) => {
          const read: number[] = [];
          for await (const chunk of chunksOf(Readable.from(pieces.map((piece) => Buffer.from(piece))))) {
            read.push(...chunk);
            if (dawdles.next().value === true) await new Promise((resolve) => setImmediate(resolve));
          }
          expect(read).toEqual(pieces.flatMap((piece) => [...piece]));
        },
      ),
      { numRuns: 50 },
    );
  });

  test('does not join what arrives together', async () => {
    const stream = new PassThrough({ highWaterMark: 1 << 20 });
    for (let index = 0; index < 5; index += 1) stream.write(Buffer.alloc(1000, index));
    stream.end();
    const sizes: number[] = [];
    for await (const chunk of chunksOf(stream)) sizes.push(chunk.byteLength);
    expect(sizes).toEqual(Array(5).fill(1000));
  });

  test('holds no more than about a mebibyte for a reader that is busy', async () => {
    let made = 0;
    const stream = new Readable({
      highWaterMark: 64 * 1024,
      read() {
        made += 1;
        this.push(made > 1000 ? null : Buffer.alloc(64 * 1024));
      },
    });
    const chunks = chunksOf(stream);
    await chunks.next();
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(made).toBeLessThan(40);
    let rest = 0;
    for await (const chunk of chunks) rest += chunk.byteLength;
    expect(rest).toBe(999 * 64 * 1024);
  });

  test('tells what the stream ended with, after what had come', async () => {
    for (const end of [
      (stream: PassThrough) => stream.destroy(new Error('cut')),
      (stream: PassThrough) => stream.destroy(),
    ]) {
      const stream = new PassThrough();
      stream.write('x');
      const chunks = chunksOf(stream);
      expect(Buffer.from((await chunks.next()).value ?? '').toString()).toBe('x');
      setImmediate(() => end(stream));
      await expect(chunks.next()).rejects.toThrow(/cut|closed early/);
    }
  });

  test('ends the stream when the reader has enough', async () => {
    const stream = new PassThrough();
    stream.write('x');
    for await (const _chunk of chunksOf(stream)) break;
    expect(stream.destroyed).toBe(true);
  });
});
