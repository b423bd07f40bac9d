import { describe, expect, test } from 'vitest';
import { serializeMetadata } from '../metadata/parse.ts';
import type { TargetsMetadata } from '../metadata/types.ts';
import { preflight } from './preflight.ts';

const signed: TargetsMetadata = {
  _type: 'Targets',
  delegations: { keys: {}, roles: [] },
  expires: '2029-01-01T00:00:00Z',
  targets: {},
  version: 1,
};
const signature = { keyid: '0'.repeat(64), method: 'ecdsa', sig: 'AAAA' };
const part = (content: TargetsMetadata, method = 'ecdsa') => ({
  role: 'targets',
  bytes: serializeMetadata(content, [{ ...signature, method }]),
});
const hashes = { sha256: Buffer.alloc(32).toString('base64') };

describe('preflight()', () => {
  test.each(['2029-01-01T00:00:00Z', '2029-01-01T00:00:00.123Z', '2029-01-01T00:00:00+01:00'])(
    'lets an expiry of %s pass',
    (expires) => {
      expect(preflight(part({ ...signed, expires }), []).signed.expires).toBe(expires);
    },
  );

  test.each(['2029-01-01T00:00:00.000Z', '2029-01-01T00:00:00.120Z', '2029-01-01T00:00:00+00:00'])(
    'refuses an expiry of %s, which the server writes in another way',
    (expires) => {
      const code = { code: 'INVALID_OPTIONS' };
      expect(() => preflight(part({ ...signed, expires }), [])).toThrow(expect.objectContaining(code));
    },
  );

  test.each<[string, ReturnType<typeof part>]>([
    ['a method in upper case', part(signed, 'ECDSA')],
    ['a target without a hash', part({ ...signed, targets: { '1': { hashes: {}, length: 1 } } })],
    [
      'custom data that Go escapes',
      part({ ...signed, targets: { '1': { hashes, length: 1, custom: '<' } } }),
    ],
    [
      'an empty list of paths',
      part({
        ...signed,
        delegations: { keys: {}, roles: [{ keyids: [], name: 'targets/a', paths: [], threshold: 1 }] },
      }),
    ],
  ])('refuses %s', (_, spoiled) => {
    const code = { code: 'INVALID_OPTIONS' };
    expect(() => preflight(spoiled, [])).toThrow(expect.objectContaining(code));
  });

  test('refuses a file longer than any that is read again', () => {
    const names = Array.from({ length: 34 }, (_, index) => [
      `${index}`.padEnd(1024 * 1024, 'x'),
      { hashes, length: 1 },
    ]);
    const code = { code: 'LIMIT_EXCEEDED' };
    const long = part({ ...signed, targets: Object.fromEntries(names) });
    expect(() => preflight(long, [])).toThrow(expect.objectContaining(code));
  });
});
