import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expand } from './expand.ts';

const variables = { A: 'va', E: '', V: 'v1.2.3', P: 'a/b/a', S: 'x*y', D: 'linux/arm/v7' };

describe('expand()', () => {
  test.each([
    ['$A', 'va', []],
    ['${A}x', 'vax', []],
    ["'$A'", '$A', []],
    ['"$A"', 'va', []],
    ['\\$A', '$A', []],
    ['"a\\tb \\"c\\" \\$A"', 'a\\tb "c" $A', []],
    ['$B', '', ['B']],
    ['$12x', 'x', ['12']],
    ['$@x', 'x', ['@']],
    ['\ufeffa', 'a', []],
    ['$', '$', []],
    ['a$', 'a$', []],
    ['a\\', 'a', []],
    ['${B:-$A}', 'va', []],
    ['${B-$A}', 'va', []],
    ['${A:-$B}', 'va', []],
    ['${E:-x}', 'x', []],
    ['${E-x}', '', []],
    ['${B+x}', '', []],
    ['${E+x}', 'x', []],
    ['${E:+x}', '', []],
    ['${A:+$B}', '', ['B']],
    ['${A:?m}', 'va', []],
    ['${E?m}', '', []],
    ['${B:-${C:-${A}}}', 'va', []],
    ['${B:-"a}b"}', 'a}b', []],
    ["${B:-'a}b'}", 'a}b', []],
    ['${B:-a\\}b}', 'a}b', []],
    ['${V#v}', '1.2.3', []],
    ['${V#*.}', '2.3', []],
    ['${V##*.}', '3', []],
    ['${V%.*}', 'v1.2', []],
    ['${V%%.*}', 'v1', []],
    ['${V#?}', '1.2.3', []],
    ['${V%??}', 'v1.2', []],
    ['${V#x}', 'v1.2.3', []],
    ['${A##*}', '', []],
    ['${S%\\**}', 'x', []],
    ['${S#"x*"}', '*y', []],
    ['${S#${B:-x}}', '*y', []],
    ['${A/v/w}', 'wa', []],
    ['${P/a/c}', 'c/b/a', []],
    ['${P//a/c}', 'c/b/c', []],
    ['${D//\\//-}', 'linux-arm-v7', []],
    ['${D/#/x}', 'linux/arm/v7', []],
    ['${P/*/x}', 'x', []],
    ['${P//?/x}', 'xxxxx', []],
    ['${A//x*/y}', 'va', []],
    ['${A///-}', '-v-a-', []],
    ['${E/*/x}', 'x', []],
    ['${B/a/b}', '', ['B']],
  ])('%s', (word, value, unset) => {
    expect(expand(word, variables)).toEqual({ value, unset });
  });

  test.each([
    '${A',
    '${}',
    '${A:#x}',
    '${A:%x}',
    '${A:x}',
    "'open",
    '"open',
    '${A!}',
    '${A=x}',
    '${{A}}',
    '${B:?}',
    '${B?m}',
    '${E:?m}',
    '${A/v}',
    '${A#\\v}',
    '${A//v/\\$1}',
  ])('says why %s cannot be expanded', (word) => {
    expect(expand(word, variables).problem).toBeDefined();
  });

  test('escapes with the escape character of the file', () => {
    expect(expand('C:\\a`$A', variables, '`')).toEqual({ value: 'C:\\a$A', unset: [] });
  });

  test('answers for any word, and never longer than it may', () => {
    const piece = fc.constantFrom(
      ...[
        '$A',
        '${',
        '${A',
        ':-',
        '#',
        '##',
        '%',
        '/',
        '//',
        '*',
        '?',
        '}',
        '\\',
        '"',
        "'",
        '`',
        'a',
        '$',
        ':?',
      ],
    );
    const word = fc.oneof(
      fc.string(),
      fc.array(piece).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(
        word,
        fc.string({ maxLength: 20 }),
        fc.constantFrom('\\' as const, '`' as const),
        (text, A, escapeCharacter) => {
          expect(expand(text, { A }, escapeCharacter).value.length).toBeLessThanOrEqual(64 * 1024 + 20);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
