import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameFonts } from './fontconfig-cache.ts';

function fonts(seconds: number, nanoseconds: bigint): Buffer {
  const cache = Buffer.alloc(144, 7);
  cache.writeUInt32LE(0xfc02fc04, 0);
  cache.writeInt32LE(8, 4);
  cache.writeInt32LE(seconds, 48);
  cache.writeBigInt64LE(nanoseconds, 56);
  return cache;
}

describe.each([
  ['sameFonts()', sameFonts, fonts(1, 2n), fonts(3, 4n), [...span(48, 52), ...span(56, 64)]],
] as const)('%s', (_name, same, one, other, times) => {
  test('allows another time, and no other byte', () => {
    expect(same(one, other)).toBe(true);
    fc.assert(
      fc.property(fc.nat(one.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(other);
        altered[at] = (altered[at] ?? 0) ^ change;
        expect(same(one, altered)).toBe(times.includes(at));
      }),
    );
    expect(same(one, Buffer.concat([other, Buffer.alloc(1)]))).toBe(false);
  });

  test('says nothing of other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(same(Buffer.from(bytes), Buffer.from(bytes))).toBe(false);
      }),
    );
  });
});

function span(start: number, end: number): readonly number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
