import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TrustError } from '../errors.ts';
import { canonicalJson, compareUtf8, type JsonValue, wireJson } from '../json/canonical-json.ts';
import { formatGoTime, isGoTime, parseGoTime } from '../json/go-time.ts';
import { parseMetadata, serializeMetadata } from './parse.ts';
import type { TargetsMetadata } from './types.ts';

const text = fc
  .string({ unit: 'binary' })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these the format cannot hold
  .filter((value) => value.isWellFormed() && !/[\u0000-\u001f]/.test(value));
const json = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4 }) as fc.Arbitrary<JsonValue>,
  ),
})).value;

describe('canonicalJson()', () => {
  test('is JSON that says the same, whatever the order of members', () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = canonicalJson(value);
        expect(canonicalJson(JSON.parse(canonical))).toBe(canonical);
        expect(canonicalJson(JSON.parse(wireJson(canonical)))).toBe(canonical);
      }),
    );
  });

  test('sorts members by UTF-8 bytes', () => {
    expect(canonicalJson({ '\u{1F600}': 1, '\uFFEE': 2, b: 3, a: 4 })).toBe(
      '{"a":4,"b":3,"\uFFEE":2,"\u{1F600}":1}',
    );
    fc.assert(
      fc.property(text, text, (left, right) => {
        const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right));
        expect(Math.sign(compareUtf8(left, right))).toBe(bytes);
      }),
    );
  });

  test.each([
    [1.5],
    [2 ** 53],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    ['\u0001'],
    ['\ud800'],
    [undefined],
    [() => 1],
  ])('refuses %j', (value) => {
    expect(() => canonicalJson(value as JsonValue)).toThrow(TrustError);
  });

  test('refuses endless nesting, without running out of stack', () => {
    let value: JsonValue = null;
    for (let depth = 0; depth < 100_000; depth += 1) value = [value];
    expect(() => canonicalJson(value)).toThrow(TrustError);
  });
});

describe('wireJson()', () => {
  test('escapes what Go escapes', () => {
    expect(wireJson('"<a>&\u2028\u2029é"')).toBe('"\\u003ca\\u003e\\u0026\\u2028\\u2029é"');
  });
});

describe('Go time', () => {
  test('formatGoTime() writes what isGoTime() and parseGoTime() read', () => {
    const years = { min: new Date('1000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true };
    fc.assert(
      fc.property(fc.date(years), (date) => {
        const written = formatGoTime(date);
        expect(isGoTime(written)).toBe(true);
        expect(parseGoTime(written)).toBe(Math.floor(date.getTime() / 1000) * 1000);
      }),
    );
  });

  test.each([
    ['2026-11-23T10:00:00Z', true],
    ['2026-11-23T10:00:00.5Z', true],
    ['2026-11-23T10:00:00.123456789Z', true],
    ['2026-11-23T10:00:00+01:00', true],
    ['2026-11-23T10:00:00.000Z', false],
    ['2026-11-23T10:00:00.120Z', false],
    ['2026-11-23T10:00:00+00:00', false],
    ['2026-11-23T10:00:00', false],
    ['2026-02-30T10:00:00Z', false],
    ['2026-11-23T24:00:00Z', false],
  ])('isGoTime(%j) is %j', (written, expected) => {
    expect(isGoTime(written)).toBe(expected);
  });

  test('parseGoTime() counts the zone', () => {
    expect(parseGoTime('2026-11-23T10:00:00.25+01:30')).toBe(Date.parse('2026-11-23T08:30:00.250Z'));
  });
});

describe('parseMetadata()', () => {
  const targets = (names: Record<string, { length: number }>): TargetsMetadata => ({
    _type: 'Targets',
    delegations: { keys: {}, roles: [] },
    expires: '2030-01-01T00:00:00Z',
    targets: Object.fromEntries(
      Object.entries(names).map(([name, { length }]) => [
        name,
        { hashes: { sha256: Buffer.alloc(32, length % 256).toString('base64') }, length },
      ]),
    ),
    version: 1,
  });

  test('reads back every collection it wrote, any name included', () => {
    const names = fc.dictionary(text, fc.record({ length: fc.nat() }), { maxKeys: 8 });
    fc.assert(
      fc.property(names, (value) => {
        const bytes = serializeMetadata(targets(value), []);
        const file = parseMetadata('targets', bytes);
        expect(Buffer.from(serializeMetadata(file.signed, [])).equals(bytes)).toBe(true);
        expect(Object.keys(file.signed.targets ?? {}).sort()).toEqual(Object.keys(value).sort());
      }),
    );
  });

  test('takes a target named __proto__ for a target', () => {
    const text = Buffer.from(serializeMetadata(targets({ a: { length: 1 } }), [])).toString();
    const file = parseMetadata('targets', Buffer.from(text.replace('"a"', '"__proto__"')));
    expect(Object.keys(file.signed.targets ?? {})).toEqual(['__proto__']);
    expect(({} as { length?: number }).length).toBeUndefined();
  });

  test('answers any bytes with a file or a TrustError', () => {
    const bytes = Buffer.from(serializeMetadata(targets({ a: { length: 1 } }), []));
    const altered = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, value]) => {
      const copy = Buffer.from(bytes);
      copy[at] = value;
      return copy;
    });
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array(), altered),
        fc.constantFrom('root', 'targets', 'snapshot'),
        (input, role) => {
          try {
            expect(Buffer.from(parseMetadata(role, input).bytes).equals(Buffer.from(input))).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(TrustError);
          }
        },
      ),
    );
  });

  test('keeps null and absent apart', () => {
    const bare = targets({});
    const delegations = { keys: {}, roles: null };
    for (const signed of [
      { ...bare, delegations },
      { ...bare, targets: null },
    ]) {
      const bytes = serializeMetadata(signed, []);
      const file = parseMetadata('targets', bytes);
      expect(Buffer.from(serializeMetadata(file.signed, [])).equals(bytes)).toBe(true);
    }
  });

  test('refuses a delegation that is not below its role', () => {
    const role = { keyids: [], name: 'targets/a/b', threshold: 1 };
    const signed = { ...targets({}), delegations: { keys: {}, roles: [role] } };
    expect(() => parseMetadata('targets', serializeMetadata(signed, []))).toThrow(/not a role below targets/);
    expect(parseMetadata('targets/a', serializeMetadata(signed, [])).signed.delegations.roles).toEqual([
      role,
    ]);
  });
});
