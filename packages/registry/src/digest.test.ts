import { describe, expect, test } from 'vitest';
import { Digester, digestOf, isDigest, parseDigest } from './digest.ts';
import { RegistryError } from './errors.ts';

// FIPS 180-4 example vectors for the empty message.
const EMPTY_SHA256 = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('parseDigest()', () => {
  test('accepts sha256 and sha512', () => {
    expect(parseDigest(EMPTY_SHA256)).toBe(EMPTY_SHA256);
    expect(isDigest(digestOf('', 'sha512'))).toBe(true);
  });

  test.each([
    'sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709',
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    EMPTY_SHA256.toUpperCase(),
    EMPTY_SHA256.replace('e3b0', 'E3B0'),
    EMPTY_SHA256.slice(0, -1),
    `${EMPTY_SHA256}0`,
    EMPTY_SHA256.slice('sha256:'.length),
    'sha256:',
    '',
    ':',
    '__proto__:00',
  ])('row 21: refuses %j', (text) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'INVALID_DIGEST' }));
    expect(() => parseDigest(text)).toThrow(RegistryError);
  });
});

describe('Digester', () => {
  test('agrees with digestOf() over any split', () => {
    const digester = new Digester();
    for (const part of ['ab', '', 'c']) digester.update(Buffer.from(part));
    expect(digester.size).toBe(3);
    expect(digester.digest()).toBe(digestOf('abc'));
  });
});
