import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RegistryError } from './errors.ts';
import { familiarReference, formatReference, parseReference, withDefaultTag } from './reference.ts';

const SHA256 = `sha256:${'a1'.repeat(32)}`;
const SHA512 = `sha512:${'b2'.repeat(64)}`;

describe('parseReference()', () => {
  test.each([
    ['php', 'docker.io/library/php', 'php'],
    ['php:8.3-apache', 'docker.io/library/php:8.3-apache', 'php:8.3-apache'],
    ['bitnami/redis', 'docker.io/bitnami/redis', 'bitnami/redis'],
    ['docker.io/php', 'docker.io/library/php', 'php'],
    ['index.docker.io/php:8', 'docker.io/library/php:8', 'php:8'],
    ['registry-1.docker.io/team/app', 'docker.io/team/app', 'team/app'],
    ['library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    [`php:8@${SHA256}`, `docker.io/library/php:8@${SHA256}`, `php:8@${SHA256}`],
    [`php@${SHA512}`, `docker.io/library/php@${SHA512}`, `php@${SHA512}`],
    ['localhost/app', 'localhost/app', 'localhost/app'],
    ['localhost:5000', 'docker.io/library/localhost:5000', 'localhost:5000'],
    ['registry.corp:5000/team/app:1', 'registry.corp:5000/team/app:1', 'registry.corp:5000/team/app:1'],
    ['[::1]:5000/app', '[::1]:5000/app', '[::1]:5000/app'],
    ['192.168.1.1:5000', 'docker.io/library/192.168.1.1:5000', '192.168.1.1:5000'],
    ['Corp/app', 'Corp/app', 'Corp/app'],
    ['a__b/c---d.e:T_-.9', 'docker.io/a__b/c---d.e:T_-.9', 'a__b/c---d.e:T_-.9'],
  ])('reads %s', (text, canonical, familiar) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar);
    expect(JSON.parse(JSON.stringify(reference))).toEqual(reference);
  });

  test.each([
    '',
    ' php',
    'php ',
    'php\n',
    ':tag',
    'php:',
    'php:-tag',
    `php:${'t'.repeat(129)}`,
    'PHP',
    'team/App',
    'a//b',
    'a/',
    '/a',
    '-a',
    'a..b',
    'a_-b',
    'https://docker.io/php',
    '[::1]',
    '[1::2::3]/app',
    '[fe80::1%25eth0]/app',
    'exa_mple.com/app',
    `a/${'b'.repeat(254)}`,
    'a1'.repeat(32),
    SHA256,
    'php@sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709',
    `php@${SHA256.toUpperCase()}`,
    `php@${SHA256}0`,
    `php@${SHA256}@${SHA256}`,
    // Right-to-left override, zero-width joiner, Cyrillic a, full-width colon.
    'php\u202e8',
    'ph\u200dp',
    'b\u0430sh',
    'php\uff1a8',
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(RegistryError);
  });

  test('reads what it writes, and never throws anything but its own errors', () => {
    const parse = (text: string) => {
      try {
        return parseReference(text);
      } catch (error) {
        expect(error).toBeInstanceOf(RegistryError);
        return undefined;
      }
    };
    const part = fc.stringMatching(/^[a-zA-Z0-9._:[\]@/-]{0,40}$/);
    fc.assert(
      fc.property(
        fc.oneof(
          part,
          fc.string(),
          fc.tuple(part, part).map(([a, b]) => `${a}/${b}`),
        ),
        (text) => {
          const reference = parse(text);
          if (reference === undefined) return;
          expect(parseReference(formatReference(reference))).toEqual(reference);
          expect(parseReference(familiarReference(reference))).toEqual(reference);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('parseReference() of what the grammar makes', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
  const domain = fc.oneof(
    fc.stringMatching(/^[a-z0-9]{1,8}(?:-[a-z0-9]{1,4})?\.[a-zA-Z]{2,6}(?::[0-9]{1,5})?$/),
    fc.constantFrom('localhost', 'localhost:5000', '[::1]', '[2001:db8::1]:5000', 'UPPER'),
  );
  const parts = fc.record({
    domain,
    path: fc.array(component, { minLength: 1, maxLength: 4 }),
    tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}$/), { nil: undefined }),
    digest: fc.option(fc.constantFrom(SHA256, SHA512), { nil: undefined }),
  });

  test('takes it apart as it was put together', () => {
    fc.assert(
      fc.property(parts, ({ domain: host, path, tag, digest }) => {
        const text = `${host}/${path.join('/')}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
        expect(parseReference(text)).toEqual({
          ...{ registry: host, repository: path.join('/') },
          ...(tag === undefined ? {} : { tag }),
          ...(digest === undefined ? {} : { digest }),
        });
      }),
    );
  });

  test('refuses it with one foreign character anywhere', () => {
    const foreign = fc.constantFrom(' ', '\n', '\0', '\\', '?', '#', '%', '\u202e', '\u0430', '"', '//');
    fc.assert(
      fc.property(parts, foreign, fc.nat(), ({ domain: host, path, tag }, character, at) => {
        const whole = `${host}/${path.join('/')}${tag === undefined ? '' : `:${tag}`}`;
        const place = at % (whole.length + 1);
        const broken = `${whole.slice(0, place)}${character}${whole.slice(place)}`;
        expect(() => parseReference(broken)).toThrow(RegistryError);
      }),
    );
  });
});

test('withDefaultTag() adds latest only to a bare name', () => {
  expect(withDefaultTag(parseReference('php')).tag).toBe('latest');
  expect(withDefaultTag(parseReference('php:8')).tag).toBe('8');
  expect(withDefaultTag(parseReference(`php@${SHA256}`)).tag).toBeUndefined();
});
