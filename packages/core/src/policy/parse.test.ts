import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../canonical-json.ts';
import { CoreError } from '../errors.ts';
import { defaultPolicy } from './default-policy.ts';
import {
  isRepositoryPattern,
  isTimestamp,
  MAX_RULES,
  parseException,
  parsePolicy,
  policyDigest,
} from './parse.ts';
import { type JsonNode, MAX_DOCUMENT_LENGTH, readStrictJson } from './strict-json.ts';

const policy = (changes: object): string => JSON.stringify({ ...defaultPolicy, ...changes });
const rules = (...list: readonly unknown[]): string => policy({ rules: list });
const digest = `sha256:${'a'.repeat(64)}`;
const waiver = {
  apiVersion: 'imagevet/v1',
  kind: 'Exception',
  id: 'EX-1',
  rule: 'compare.min-grade',
  digest,
  reason: 'the archive lost one package',
  approvedBy: 'platform-security',
  expires: '2027-01-31T00:00:00Z',
};
const exception = (changes: object): string => JSON.stringify({ ...waiver, ...changes });

describe('parsePolicy()', () => {
  test('parsePolicy() reads the default policy back', () => {
    expect(parsePolicy(JSON.stringify(defaultPolicy, null, 2))).toEqual(defaultPolicy);
  });

  test('parsePolicy() reads every rule with its parameters', () => {
    const all = [
      ...defaultPolicy.rules,
      { rule: 'lineage.platforms-agree' },
      {
        rule: 'source.repositories',
        allow: ['https://github.com/docker-library/*', 'https://git.example:8443/a/b'],
      },
    ];
    expect(parsePolicy(rules(...all)).rules).toEqual(all);
  });

  test('parsePolicy() takes a $schema for editors and leaves it out of the digest', () => {
    const parsed = parsePolicy(policy({ $schema: 'policy.schema.json' }));
    expect(policyDigest(parsed)).toBe(policyDigest(defaultPolicy));
  });

  test.each([
    ['text that is not JSON', 'default: deny', '$', 'unexpected "d"'],
    ['an empty text', '', '$', 'unexpected the end'],
    ['an array', '[]', '$', 'expected an object, found array'],
    ['default: allow', policy({ default: 'allow' }), '$.default', 'expected "deny", found "allow"'],
    ['another version', policy({ apiVersion: 'imagevet/v2' }), '$.apiVersion', 'expected "imagevet/v1"'],
    ['another kind', policy({ kind: 'Exception' }), '$.kind', 'expected "Policy"'],
    ['a missing key', policy({ name: undefined }), '$.name', 'missing key'],
    ['an unknown key', policy({ mode: 'warn' }), '$.mode', 'unknown key'],
    ['an odd unknown key', policy({ 'a b': 1 }), '$["a b"]', 'unknown key'],
    ['a repeated key', `{"default":"deny","default":"allow"}`, '$.default', 'duplicate key'],
    ['a key repeated by escape', `{"default":"deny","d\\u0065fault":"deny"}`, '$.default', 'duplicate key'],
    ['a prototype', `{"__proto__":{"default":"deny"}}`, '$.__proto__', 'unknown key'],
    ['a constructor', policy({ constructor: {} }), '$.constructor', 'unknown key'],
    ['a number for a name', policy({ name: 1 }), '$.name', 'expected a string, found number'],
    ['an empty name', policy({ name: '' }), '$.name', 'expected text, found an empty string'],
    ['a long name', policy({ name: 'n'.repeat(2001) }), '$.name', '2001 characters, at most 2000 allowed'],
    ['rules that are no list', policy({ rules: {} }), '$.rules', 'expected an array, found object'],
    [
      'too many rules',
      rules(...Array(MAX_RULES + 1).fill({ rule: 'lineage.complete' })),
      '$.rules',
      '1001 items',
    ],
    ['a rule that is no object', rules('lineage.complete'), '$.rules[0]', 'expected an object, found string'],
    ['a rule without name', rules({}), '$.rules[0].rule', 'missing key'],
    ['an unknown rule', rules({ rule: 'lineage.compleat' }), '$.rules[0].rule', 'found "lineage.compleat"'],
    ['an inherited rule', rules({ rule: 'toString' }), '$.rules[0].rule', 'found "toString"'],
    [
      'a parameter of another rule',
      rules({ rule: 'lineage.complete', grade: 'proven' }),
      '$.rules[0].grade',
      'unknown',
    ],
    ['a rule without parameter', rules({ rule: 'audit.max-severity' }), '$.rules[0].deny', 'missing key'],
    [
      'a severity there is not',
      rules({ rule: 'audit.max-severity', deny: 'HIGH' }),
      '$.rules[0].deny',
      'found "HIGH"',
    ],
    [
      'a grade that asks for nothing',
      rules({ rule: 'lineage.min-grade', grade: 'unknown' }),
      '$.rules[0].grade',
      'found',
    ],
    [
      'a grade of the other rule',
      rules({ rule: 'compare.min-grade', grade: 'proven' }),
      '$.rules[0].grade',
      'found',
    ],
    [
      'a catastrophic glob',
      rules({ rule: 'source.repositories', allow: [`https://${'*'.repeat(200)}a`] }),
      '$.rules[0].allow[0]',
      'expected https://host/path',
    ],
    ...[
      'docker/dockerfile:1',
      'dockerfile',
      'docker.io/docker/dockerfile@sha256',
      'docker.io/*',
      'https://docker.io/docker/dockerfile',
    ].map((name) => [
      `the frontend ${name}`,
      rules({ rule: 'rebuild.frontends', allow: [name] }),
      '$.rules[0].allow[0]',
      'expected a repository such as docker.io/docker/dockerfile',
    ]),
    [
      'a repository that is null',
      rules({ rule: 'source.repositories', allow: [null] }),
      '$.rules[0].allow[0]',
      'null',
    ],
    [
      '50,000 scopes',
      rules({ rule: 'source.repositories', allow: Array(50_000).fill('https://a/*') }),
      '$.rules[0].allow',
      '50000 items, at most 10000 allowed',
    ],
  ])('parsePolicy() refuses %s', (_name, text, path, problem) => {
    const error = refusal(() => parsePolicy(text));
    expect(error.code).toBe('INVALID_POLICY');
    expect(error.message).toContain(problem);
    if (path !== '$') expect(error.details?.path).toBe(path);
  });

  test('parsePolicy() names line and column of what it refuses', () => {
    const text = '{\n  "apiVersion": "imagevet/v1",\n  "kind": "Policy",\n  "nmae": "x"\n}';
    expect(refusal(() => parsePolicy(text))).toMatchObject({
      message: 'cannot read policy: unknown key at $.nmae, line 4, column 3',
      details: { path: '$.nmae', line: 4, column: 3 },
    });
  });

  test('parsePolicy() refuses text longer than its limit before reading it', () => {
    expect(refusal(() => parsePolicy(' '.repeat(MAX_DOCUMENT_LENGTH + 1))).message).toMatch(
      /at most 1048576 allowed/,
    );
  });
});

describe('parseException()', () => {
  test('parseException() reads an exception', () => {
    expect(parseException(JSON.stringify(waiver))).toEqual(waiver);
    const full = {
      ...waiver,
      term: 'docker.io/library/php:7.2-apache',
      approvedAt: '2026-12-01T09:30:00.5+01:00',
    };
    expect(parseException(exception({ ...full, $schema: 'x' }))).toEqual(full);
  });

  test.each([
    ['no expiry', { expires: undefined }, '$.expires', 'missing key'],
    ['no digest', { digest: undefined }, '$.digest', 'missing key'],
    ['a tag for a digest', { digest: 'php:7.2' }, '$.digest', 'expected a digest'],
    ['an upper-case digest', { digest: digest.toUpperCase() }, '$.digest', 'expected a digest'],
    ['a date for a time', { expires: '2027-01-31' }, '$.expires', 'expected an RFC 3339 time'],
    ['a day that is not', { expires: '2027-02-30T00:00:00Z' }, '$.expires', 'expected an RFC 3339 time'],
    [
      'a time without zone',
      { approvedAt: '2027-01-31T00:00:00' },
      '$.approvedAt',
      'expected an RFC 3339 time',
    ],
    ['an unknown rule', { rule: 'everything' }, '$.rule', 'found "everything"'],
    ['a wildcard', { rule: '*' }, '$.rule', 'found "*"'],
    ['an empty term', { term: '' }, '$.term', 'empty string'],
    ['an unknown key', { until: 'forever' }, '$.until', 'unknown key'],
  ])('parseException() refuses %s', (_name, changes, path, problem) => {
    const error = refusal(() => parseException(exception(changes)));
    expect(error).toMatchObject({ code: 'INVALID_POLICY', details: { path } });
    expect(error.message).toContain(problem);
  });
});

describe('readStrictJson()', () => {
  test('readStrictJson() reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(undefined, 2), (text, indent) => {
        const value: unknown = JSON.parse(text);
        const spaced = JSON.stringify(value, null, indent);
        expect(plain(readStrictJson(spaced, 'document'))).toEqual(JSON.parse(spaced));
      }),
    );
  });

  test('readStrictJson() refuses what JSON.parse refuses, and reads nothing else into the rest', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b"',
      '1',
      '-',
      '0',
      '.5',
      'e3',
      'true',
      'null',
      ' ',
      '\n',
      '\\',
      '"',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        const expected = attempt(() => JSON.parse(text) as unknown);
        const actual = attempt(() => plain(readStrictJson(text, 'document')));
        if ('error' in expected) expect(actual).toHaveProperty('error');
        else if ('error' in actual) expect(String(actual.error)).toMatch(/duplicate key/);
        else expect(actual).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('readStrictJson() throws nothing but CoreError for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const result = attempt(() => readStrictJson(text, 'document'));
        if ('error' in result) expect(result.error).toBeInstanceOf(CoreError);
      }),
    );
  });

  test.each([
    ['a lone surrogate', '"\\ud800"', 'a lone surrogate'],
    ['a raw lone surrogate', '"\ud800"', 'a lone surrogate'],
    ['a byte order mark', '\ufeff{}', 'unexpected'],
    ['a control character', '"a\nb"', 'an unescaped control character'],
    ['a number too large', '1e999', 'a number out of range'],
    ['a broken escape', '"\\x41"', 'an invalid escape'],
    ['a broken code point', '"\\u12g4"', 'an invalid escape'],
    ['an open string', '"abc', 'a string without end'],
    ['an open escape', '"\\', 'an invalid escape'],
    ['deep nesting', '['.repeat(100_000), 'more than 32 levels of nesting'],
    ['more after the end', '{} {}', 'unexpected "{" after the document'],
    ['a missing colon', '{"a" 1}', 'expected ":", found "1"'],
    ['a missing comma', '{"a":1 "b":2}', 'expected "," or "}", found "\\""'],
    ['a missing comma in a list', '[1 2]', 'expected "," or "]", found "2"'],
    ['a trailing comma', '{"a":1,}', 'expected a key, found "}"'],
  ])('readStrictJson() refuses %s', (_name, text, problem) => {
    expect(refusal(() => readStrictJson(text, 'document')).message).toContain(problem);
  });

  test('readStrictJson() keeps __proto__ a key like any other', () => {
    const node = readStrictJson('{"__proto__": {"polluted": true}}', 'document');
    expect(node).toMatchObject({ kind: 'object' });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('readStrictJson() reads surrogate pairs written as escapes', () => {
    expect(plain(readStrictJson('"\\ud83d\\ude00 \\b\\f\\r\\t\\/"', 'document'))).toBe('😀 \b\f\r\t/');
  });

  test('memberPath() shortens keys nobody should have to read in full', () => {
    const error = refusal(() => parsePolicy(`{"${'k'.repeat(500)} ": 1}`));
    expect(error.message.length).toBeLessThan(200);
  });
});

describe('canonicalJson()', () => {
  test.each<[string, unknown, string]>([
    [
      'keys by code unit',
      { '\u20ac': 1, '\r': 2, '1': 4, '\ud83d\ude00': 5, '\ufb33': 7, a: 8 },
      '{"\\r":2,"1":4,"a":8,"€":1,"😀":5,"\ufb33":7}',
    ],
    [
      'the shortest numbers',
      [333333333.3333333, 1e30, 4.5, 2e-3, 1e-27, -0],
      '[333333333.3333333,1e+30,4.5,0.002,1e-27,0]',
    ],
    ['the escapes JSON needs', '\u20ac$\u000f\nA\'B"\\\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'],
    ['nothing for undefined', { a: undefined, b: null, c: true }, '{"b":null,"c":true}'],
  ])('canonicalJson() writes %s', (_name, value, expected) => {
    expect(canonicalJson(value)).toBe(expected);
  });

  test('canonicalJson() writes one form whatever the order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).toReversed());
        expect(canonicalJson(turned)).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['a function', { f: () => 1 }],
    ['a lone surrogate', '\udead'],
    ['a big integer', 1n],
    ['undefined in a list', [undefined]],
  ])('canonicalJson() refuses %s', (_name, value) => {
    expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  });

  test('canonicalJson() refuses a cycle', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => canonicalJson(cycle)).toThrow(/a cycle has no JSON form/);
  });
});

test('isTimestamp() knows the days of a month', () => {
  expect(['2024-02-29T23:59:59Z', '2026-12-31T00:00:00.123456789-11:30'].every(isTimestamp)).toBe(true);
  expect(
    ['2023-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '2026-13-01T00:00:00Z', '2026-01-01T25:00:00Z'].some(
      isTimestamp,
    ),
  ).toBe(false);
});

test('isRepositoryPattern() takes whole addresses only', () => {
  expect(
    ['https://github.com/*', 'https://github.com/a/b', 'https://git.example:8443/x/*'].every(
      isRepositoryPattern,
    ),
  ).toBe(true);
  const bad = [
    '*',
    'https://*',
    'http://github.com/a',
    'https://GitHub.com/a',
    'https://u@h/a',
    'https://h/a/../b',
    'https://h/a*',
    'https://h/*/b',
    'https://h//b',
    'https://h/a?b',
    'https://h/a#b',
    'https://h/%61',
  ];
  expect(bad.filter(isRepositoryPattern)).toEqual([]);
});

function refusal(run: () => unknown): CoreError {
  const result = attempt(run);
  expect(result).toHaveProperty('error');
  return (result as { error: CoreError }).error;
}

function attempt<T>(run: () => T): { value: T } | { error: unknown } {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}

function plain(node: JsonNode): unknown {
  switch (node.kind) {
    case 'null':
      return null;
    case 'array':
      return node.items.map(plain);
    case 'object':
      return Object.fromEntries([...node.members].map(([key, { value }]) => [key, plain(value)]));
    default:
      return node.value;
  }
}
