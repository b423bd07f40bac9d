import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameAptCache } from './apt-cache.ts';

const TIME_AT = 2048;

function cache(time: number, checksum: number): Buffer {
  const bytes = Buffer.alloc(8192, 7);
  bytes.writeUInt32LE(0x98fe76dc, 0);
  bytes.writeUInt16LE(680, 8);
  bytes.writeUInt8(checksum, 22);
  bytes.writeUInt32LE(checksum, 676);
  bytes.writeBigUInt64LE(BigInt(time), TIME_AT);
  return bytes;
}

describe('sameAptCache()', () => {
  const [one, other] = [cache(1_795_900_000, 1), cache(1_795_900_077, 2)] as const;

  test('allows the time of a list and the checksum over it, and no other byte', () => {
    expect(sameAptCache(one, other)).toBe(true);
    fc.assert(
      fc.property(fc.nat(one.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(other);
        altered[at] = (altered[at] ?? 0) ^ change;
        const isTime = at >= TIME_AT && at < TIME_AT + 4 && altered.readUInt32LE(TIME_AT) >= 1e9;
        expect(sameAptCache(one, altered)).toBe((at >= 676 && at < 680) || (at >= 21 && at < 24) || isTime);
      }),
      { numRuns: 2000 },
    );
    expect(sameAptCache(one, Buffer.concat([other, Buffer.alloc(1)]))).toBe(false);
  });

  test('allows no more times than there can be lists', () => {
    const many = [1, 2].map((time) => {
      const bytes = Buffer.alloc(1024 + 8 * 1001);
      bytes.writeUInt32LE(0x98fe76dc, 0);
      bytes.writeUInt16LE(680, 8);
      for (let at = 1024; at < bytes.length; at += 8) bytes.writeUInt32LE(1e9 + time, at);
      return bytes;
    });
    expect(sameAptCache(many[0]!, many[1]!)).toBe(false);
    expect(sameAptCache(many[0]!.subarray(0, 2048), many[1]!.subarray(0, 2048))).toBe(true);
  });

  test('reads any bytes to an end', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(sameAptCache(Buffer.from(a), Buffer.from(b))).toBe(false);
        const [long, longer] = [a, b].map((part) => Buffer.concat([one, part]));
        expect(typeof sameAptCache(long!, longer!)).toBe('boolean');
      }),
    );
  });
});
