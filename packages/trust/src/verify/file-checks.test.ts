import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesMeta } from './file-checks.ts';

const bytes = Buffer.from('a file');
const hash = (algorithm: string, content: Uint8Array = bytes) =>
  createHash(algorithm).update(content).digest('base64');
const other = Buffer.from('b file');

describe('matchesMeta()', () => {
  test.each<[string, Record<string, string>, number, boolean]>([
    ['both hashes', { sha256: hash('sha256'), sha512: hash('sha512') }, 6, true],
    ['one of them', { sha256: hash('sha256') }, 6, true],
    ['the other', { sha512: hash('sha512') }, 6, true],
    ['an unknown one beside', { md5: 'AA==', sha256: hash('sha256') }, 6, true],
    ['another length', { sha256: hash('sha256') }, 7, false],
    [
      'a wrong sha256 beside a right sha512',
      { sha256: hash('sha256', other), sha512: hash('sha512') },
      6,
      false,
    ],
    [
      'a wrong sha512 beside a right sha256',
      { sha256: hash('sha256'), sha512: hash('sha512', other) },
      6,
      false,
    ],
    ['a hash that was cut off', { sha256: hash('sha256').slice(0, 20) }, 6, false],
    ['an empty hash', { sha256: '' }, 6, false],
    ['no hash', {}, 6, false],
    ['none that is known', { md5: hash('md5') }, 6, false],
  ])('%s', (_, hashes, length, expected) => {
    expect(matchesMeta(bytes, { hashes, length })).toBe(expected);
  });

  test('accepts no other bytes', () => {
    const meta = { hashes: { sha256: hash('sha256') }, length: bytes.length };
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (content) => {
        expect(matchesMeta(content, meta)).toBe(bytes.equals(content));
      }),
    );
  });
});
