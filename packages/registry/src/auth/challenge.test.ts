import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from './challenge.ts';

describe('parseChallenges()', () => {
  test.each([
    ['Basic realm="x"', [{ scheme: 'basic', parameters: { realm: 'x' } }]],
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: {
            realm: 'https://auth.example/token',
            service: 'registry.example',
            scope: 'repository:a/b:pull,push',
          },
        },
      ],
    ],
    [
      'Bearer realm="r", Basic realm="with \\"quotes\\", commas"',
      [
        { scheme: 'bearer', parameters: { realm: 'r' } },
        { scheme: 'basic', parameters: { realm: 'with "quotes", commas' } },
      ],
    ],
    [
      'Bearer   realm = unquoted , error=invalid_token',
      [{ scheme: 'bearer', parameters: { realm: 'unquoted', error: 'invalid_token' } }],
    ],
    [
      'Negotiate, Basic realm=x',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
      ],
    ],
    ['Bearer realm="open', [{ scheme: 'bearer', parameters: { realm: 'open' } }]],
    ['Bearer realm="first", realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
    ['', []],
    [',,, "" =', []],
  ])('reads %j', (header, expected) => {
    expect(JSON.parse(JSON.stringify(parseChallenges(header)))).toEqual(expected);
  });

  test('reads several header lines', () => {
    expect(parseChallenges(['Basic realm=a', 'Bearer realm=b']).map(({ scheme }) => scheme)).toEqual([
      'basic',
      'bearer',
    ]);
    expect(parseChallenges(undefined)).toEqual([]);
  });

  test('ends for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => Array.isArray(parseChallenges(text))),
      { numRuns: 2000 },
    );
    expect(parseChallenges(`Bearer ${'a="\\'.repeat(100_000)}`).length).toBeGreaterThan(0);
  });
});
