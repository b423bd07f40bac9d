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

  test('reads back any challenges, in one line or several', () => {
    const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
    const parameters = fc.dictionary(token, fc.string({ maxLength: 20 }), { minKeys: 1, maxKeys: 3 });
    const challenges = fc.array(fc.tuple(token, parameters), { maxLength: 4 });
    const write = ([scheme, values]: [string, Record<string, string>]) =>
      `${scheme} ${Object.entries(values)
        .map(([name, value]) => `${name}="${value.replaceAll(/[\\"]/g, '\\$&')}"`)
        .join(', ')}`;
    fc.assert(
      fc.property(challenges, (offered) => {
        const expected = offered.map(([scheme, values]) => [scheme, { ...values }]);
        expect(parse(offered.map(write).join(', '))).toEqual(expected);
        expect(parse(offered.map(write))).toEqual(expected);
      }),
    );
  });

  test('finishes on a long hostile header', () => {
    expect(parseChallenges(`Bearer ${'realm="'.repeat(100_000)}`).length).toBeGreaterThan(0);
    expect(parseChallenges(', '.repeat(100_000))).toEqual([]);
  });
});
