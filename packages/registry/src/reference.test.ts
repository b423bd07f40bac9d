import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from './digest.ts';
import { ImagevetError } from './errors.ts';
import { familiarReference, formatReference, parseReference, withDefaultTag } from './reference.ts';

const digest = digestOf('x');

describe('parseReference()', () => {
  test.each([
    ['php', 'docker.io/library/php', 'php'],
    ['php:7.2-apache', 'docker.io/library/php:7.2-apache', 'php:7.2-apache'],
    ['docker.io/php', 'docker.io/library/php', 'php'],
    ['index.docker.io/library/php', 'docker.io/library/php', 'php'],
    ['registry-1.docker.io/team/app', 'docker.io/team/app', 'team/app'],
    ['team/app:1', 'docker.io/team/app:1', 'team/app:1'],
    ['library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['localhost/x', 'localhost/x', 'localhost/x'],
    ['localhost:5000/x', 'localhost:5000/x', 'localhost:5000/x'],
    ['127.0.0.1:5000/vetted/library/php:7', '127.0.0.1:5000/vetted/library/php:7', undefined],
    ['[::1]:5000/x:y', '[::1]:5000/x:y', undefined],
    ['[fe80::1]/x', '[fe80::1]/x', undefined],
    ['Uppercase/lowercase:tag', 'Uppercase/lowercase:tag', undefined],
    ['192.168.1.1:5000', 'docker.io/library/192.168.1.1:5000', '192.168.1.1:5000'],
    ['ghcr.io/a/b_c/d__e-f', 'ghcr.io/a/b_c/d__e-f', undefined],
    [`php:8@${digest}`, `docker.io/library/php:8@${digest}`, `php:8@${digest}`],
    [`php@${digest}`, `docker.io/library/php@${digest}`, `php@${digest}`],
    [
      `x@${digestOf('x', 'sha512')}`,
      `docker.io/library/x@${digestOf('x', 'sha512')}`,
      `x@${digestOf('x', 'sha512')}`,
    ],
  ])('reads %s', (text, canonical, familiar) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar ?? canonical);
    expect(parseReference(canonical)).toEqual(reference);
    expect(JSON.parse(JSON.stringify(reference))).toEqual(reference);
  });

  test.each([
    '',
    ':tag',
    'PHP',
    'docker.io/PHP',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:b:c',
    'a b',
    'a:-tag',
    `a:${'x'.repeat(129)}`,
    'a___b',
    'a..b',
    '-a',
    'a-',
    'aa/asdf$$^/aa',
    '[::1/x',
    '[::1%eth0]/x',
    'a.com:port/x',
    'https://docker.io/php',
    '../php',
    'php\u200b',
    'р\u0068p', // the first letter is Cyrillic
    'php\n',
    'f'.repeat(64),
    `a/${'b/'.repeat(200)}c`,
    'x'.repeat(100_000),
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'INVALID_REFERENCE' }));
  });

  test.each([
    'php@sha256:abc',
    'php@md5:d41d8cd98f00b204e9800998ecf8427e',
    `php@${digest.toUpperCase()}`,
    'php@',
  ])('refuses the digest of %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'INVALID_DIGEST' }));
  });

  test('formats what it parsed back to the same reference, or throws an imagevet error', () => {
    const part = fc.stringMatching(/^[a-zA-Z0-9.:/@_-]{0,40}$/);
    fc.assert(
      fc.property(fc.oneof(part, fc.string()), (text) => {
        try {
          const reference = parseReference(text);
          expect(parseReference(formatReference(reference))).toEqual(reference);
          expect(parseReference(familiarReference(reference))).toEqual(reference);
        } catch (error) {
          if (!ImagevetError.is(error)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('withDefaultTag()', () => {
  test('adds latest only where there is neither tag nor digest', () => {
    expect(withDefaultTag(parseReference('php')).tag).toBe('latest');
    expect(withDefaultTag(parseReference('php:8')).tag).toBe('8');
    expect(withDefaultTag(parseReference(`php@${digest}`)).tag).toBeUndefined();
  });
});
