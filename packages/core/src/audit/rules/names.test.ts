import { describe, expect, test } from 'vitest';
import { audit, hits, hitsOf } from '../__fixtures__/hits.ts';
import { distanceOne } from './names.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('VET008 misleading characters', () => {
  test.each([
    ['bidirectional override', '# \u202Eabc'],
    ['isolate', 'RUN echo "\u2066x"'],
    ['zero-width space', 'RUN echo a\u200Bb'],
    ['soft hyphen', 'RUN echo a\u00ADb'],
    ['tag character', 'RUN echo a\u{E0041}'],
    ['hangul filler', 'RUN echo \u3164'],
    ['byte order mark inside', 'RUN echo \uFEFFx'],
    ['Cyrillic letter in a word', 'RUN n\u0440m ci'],
    ['fullwidth letter', 'RUN c\uFF55rl x'],
  ])('%s', (_, line) => {
    expect(hits(line)).toContain('VET008:2');
  });

  test('an image name in another script', () => {
    const [finding] = audit(`FROM \u0440h\u0440:8@${DIGEST}`).filter(({ rule }) => rule === 'VET008');
    expect(finding).toMatchObject({ rule: 'VET008', severity: 'high', lines: { startLine: 1, endLine: 1 } });
    expect(hitsOf(`FROM \u0440\u043D\u0440:8@${DIGEST}`)).toContain('VET008:1');
  });

  test.each([
    ['emoji', 'RUN echo "\u{1F468}\u200D\u{1F469} \u2714\uFE0F"'],
    [
      'another language',
      'LABEL description="\u041F\u0440\u0438\u0432\u0435\u0442 \u4E16\u754C na\u00EFve 5\u00B5s"',
    ],
    ['colour escape', 'RUN echo "\u001B[1m"'],
    ['tab', 'RUN\techo x'],
  ])('not %s', (_, line) => {
    expect(hits(line)).toEqual([]);
  });

  test('not a byte order mark at the start', () => {
    expect(hitsOf(`\uFEFFFROM debian:trixie@${DIGEST}`)).toEqual([]);
  });
});

describe('VET009 imitated names', () => {
  test.each([
    `ngnix@${DIGEST}`,
    `pyhton:3.14@${DIGEST}`,
    `libary/php@${DIGEST}`,
    `docker.io.evil.example/library/php@${DIGEST}`,
    `gchr.io/a/b@${DIGEST}`,
    `library/php-apache@${DIGEST}`,
    `docker.io/phpapache@${DIGEST}`,
    `official-nginx@${DIGEST}`,
    `nginx-official@${DIGEST}`,
    `python3@${DIGEST}`,
    `wordpress-php-fpm@${DIGEST}`.replace('-php', ''),
    `my-docker.io/library/php@${DIGEST}`.replace('my-docker.io', 'my-docker.io.example'),
  ])('%s', (name) => {
    expect(hitsOf(`FROM ${name}`)).toEqual(['VET009:1']);
  });

  test.each([
    `nginx@${DIGEST}`,
    `php@${DIGEST}`,
    `ghcr.io/a/ngnix@${DIGEST}`,
    `registry.internal:5000/php@${DIGEST}`,
    `someone/pyhton@${DIGEST}`,
    `someone/php-apache@${DIGEST}`,
    `php-zendserver@${DIGEST}`,
    `mongo-express@${DIGEST}`,
    `registry.internal/php-apache@${DIGEST}`,
  ])('not %s', (name) => {
    expect(hitsOf(`FROM ${name}`)).toEqual([]);
  });

  test('distanceOne() is symmetric and one step', () => {
    for (const [a, b] of [
      ['nginx', 'ngnix'],
      ['nginx', 'nginxx'],
      ['nginx', 'nginy'],
      ['nginx', 'ginx'],
    ] as const) {
      expect([distanceOne(a, b), distanceOne(b, a)]).toEqual([true, true]);
    }
    expect([distanceOne('nginx', 'nginx'), distanceOne('nginx', 'xgniq'), distanceOne('ab', 'abcd')]).toEqual(
      [false, false, false],
    );
  });
});
