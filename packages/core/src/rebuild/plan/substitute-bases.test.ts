import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { substituteBases } from './substitute-bases.ts';

const PHP = 'docker.io/library/php:7';
const TO = 'registry.example/vetted/php@sha256:0';
const substitutions = new Map([
  [PHP, TO],
  ['docker.io/library/composer:2', 'C'],
  ['reg.example:5000/a/b:1', 'D'],
]);

describe('substituteBases()', () => {
  test.each([
    ['FROM php:7', `FROM ${TO}`],
    ['from   php:7   as   x', `from   ${TO}   as   x`],
    ['FROM --platform=linux/amd64 php:7 AS x\nFROM x', `FROM --platform=linux/amd64 ${TO} AS x\nFROM x`],
    ['ARG V=7\nFROM php:${V}\nRUN echo php:7', `ARG V=7\nFROM ${TO}\nRUN echo php:7`],
    ['ARG B=php:7\nFROM $B', `ARG B=php:7\nFROM ${TO}`],
    ['FROM docker.io/library/php:7', `FROM ${TO}`],
    ['FROM "php:7"', `FROM ${TO}`],
    ['FROM \\\n  # php:7\n  php:7 \\\n  AS x', `FROM \\\n  # php:7\n  ${TO} \\\n  AS x`],
    ['FROM reg.example:5000/a/b:1', 'FROM D'],
    ['FROM php:7\r\nRUN x\r\n', `FROM ${TO}\r\nRUN x\r\n`],
    ['\ufeffFROM php:7', `\ufeffFROM ${TO}`],
    ['FROM php:8', 'FROM php:8'],
    ['FROM scratch', 'FROM scratch'],
    ['FROM x AS php\nFROM php', 'FROM x AS php\nFROM php'],
    ['FROM php:7\nCOPY --from=composer:2 /a /b', `FROM ${TO}\nCOPY --from=C /a /b`],
    [
      'FROM x\nCOPY --link --from="composer:2" --chown=1 /a /b',
      'FROM x\nCOPY --link --from="C" --chown=1 /a /b',
    ],
    [
      'FROM x\nRUN --mount=type=bind,from=composer:2,target=/c --mount=type=cache,target=/d composer:2',
      'FROM x\nRUN --mount=type=bind,from=C,target=/c --mount=type=cache,target=/d composer:2',
    ],
    [
      'FROM x\nCOPY <<EOF /f\nFROM php:7\nEOF\nFROM php:7',
      `FROM x\nCOPY <<EOF /f\nFROM php:7\nEOF\nFROM ${TO}`,
    ],
    ['# escape=`\nFROM `\n php:7', `# escape=\`\nFROM \`\n ${TO}`],
    ['# syntax=php:7\nFROM x', `# syntax=${TO}\nFROM x`],
    ['# syntax = php:7 \r\nFROM php:7', `# syntax = ${TO} \r\nFROM ${TO}`],
    ['# syntax=a b\nFROM php:7', `# syntax=a b\nFROM ${TO}`],
    ['FROM x\nRUN --mount=from=composer:2,target=/c y', 'FROM x\nRUN --mount=from=C,target=/c y'],
    ['FROM x\nRUN --mount="from=composer:2,target=/c" y', 'FROM x\nRUN --mount="from=C,target=/c" y'],
    [
      'FROM x\nRUN --mount=type=bind,source=a,from=composer:2 y',
      'FROM x\nRUN --mount=type=bind,source=a,from=C y',
    ],
  ])('%j', (text, expected) => {
    expect(substituteBases(text, substitutions)).toBe(expected);
  });

  test('leaves every other byte as it was', () => {
    const line = fc.constantFrom(
      'RUN php:7',
      '# FROM php:7',
      '',
      'COPY a b\r',
      'ENV A="php:7"',
      'RUN a \\\n  php:7',
      'LABEL x=ü',
      'COPY --from=a php:7 /',
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.array(line, { maxLength: 8 }), (before, after) => {
        const parts = ['FROM x AS a', ...before, 'FROM php:7', ...after, 'CMD x'];
        const expected = parts.map((part) => (part === 'FROM php:7' ? `FROM ${TO}` : part)).join('\n');
        expect(substituteBases(parts.join('\n'), substitutions)).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });
});
