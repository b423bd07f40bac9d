import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from './challenge.ts';

const parse = (header: string | readonly string[]) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }]);

describe('parseChallenges()', () => {
  test.each([
    ['', []],
    ['Basic', [['basic', {}]]],
    ['Basic realm="a registry"', [['basic', { realm: 'a registry' }]]],
    [
      'Bearer realm="https://auth.corp/token",service="corp",scope="repository:a/b:pull,push"',
      [['bearer', { realm: 'https://auth.corp/token', service: 'corp', scope: 'repository:a/b:pull,push' }]],
    ],
    ['bearer REALM = "x" ,  Service=y', [['bearer', { realm: 'x', service: 'y' }]]],
    [
      'Bearer realm="x",service="y",Basic realm="z"',
      [
        ['bearer', { realm: 'x', service: 'y' }],
        ['basic', { realm: 'z' }],
      ],
    ],
    [
      'Negotiate, Basic realm="z"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'z' }],
      ],
    ],
    ['Basic realm="a \\"quoted\\" , Bearer realm=b"', [['basic', { realm: 'a "quoted" , Bearer realm=b' }]]],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer realm="cut off', [['bearer', {}]]],
    ['Bearer realm=', [['bearer', {}]]],
  ])('reads %s', (header, challenges) => {
    expect(parse(header)).toEqual(challenges);
  });

  test('reads several header lines', () => {
    expect(parse(['Bearer realm="x"', 'Basic realm="y"'])).toEqual([
      ['bearer', { realm: 'x' }],
      ['basic', { realm: 'y' }],
    ]);
  });

  test('reads back any quoted value, and no text makes it throw', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (value, noise) => {
        const quoted = `"${value.replaceAll(/[\\"]/g, '\\$&')}"`;
        expect(parse(`Bearer realm=${quoted}`)).toEqual([['bearer', { realm: value }]]);
        expect(Array.isArray(parseChallenges(noise))).toBe(true);
      }),
    );
  });

  test('finishes on a long hostile header', () => {
    expect(parseChallenges(`Bearer ${'realm="'.repeat(100_000)}`).length).toBeGreaterThan(0);
    expect(parseChallenges(', '.repeat(100_000))).toEqual([]);
  });
});
