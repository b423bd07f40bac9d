import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFileUrl, toLocation } from './file-url.ts';
import { isFetchRef, toRepositoryPath, toRepositoryUrl } from './location.ts';

const SHA = 'a'.repeat(40);

describe('toRepositoryUrl()', () => {
  it.each([
    ['https://github.com/acme/blog.git', 'https://github.com/acme/blog'],
    ['git://github.com/acme/blog', 'https://github.com/acme/blog'],
    ['http://GitHub.com/acme/Blog/', 'https://github.com/acme/Blog'],
    ['git+https://github.com/acme/blog.git', 'https://github.com/acme/blog'],
    ['https://git.launchpad.net/cloud-images/+oci/base', 'https://git.launchpad.net/cloud-images/+oci/base'],
    ['https://github.com/acme/x/../../etc', 'https://github.com/etc'],
  ])('normalises %s', (text, url) => {
    expect(toRepositoryUrl(text)).toBe(url);
  });

  it.each([
    'file:///etc/passwd',
    'ext::sh -c id',
    'ssh://git@github.com/acme/blog',
    'git@github.com:acme/blog.git',
    '--upload-pack=id',
    'https://user:secret@github.com/acme/blog',
    'https://github.com/',
    'https://github.com/acme/blog?x=1',
    'https://',
    '',
  ])('refuses %j', (text) => {
    expect(toRepositoryUrl(text)).toBeUndefined();
  });

  it('gives a fixed point or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.string()), (text) => {
        const url = toRepositoryUrl(text);
        expect(url === undefined ? undefined : toRepositoryUrl(url)?.replace(/\.git$/, '')).toBe(
          url?.replace(/\.git$/, ''),
        );
      }),
    );
  });
});

describe('toRepositoryPath()', () => {
  it('normalises and refuses what leaves the repository', () => {
    expect(['', '.', './a//b/', 'a/../b', 'a/b'].map(toRepositoryPath)).toEqual([
      '.',
      '.',
      'a/b',
      'b',
      'a/b',
    ]);
    expect(['..', '../a', 'a/../../b', '/etc', 'a\0b'].map(toRepositoryPath)).toEqual(
      Array(5).fill(undefined),
    );
  });

  it('never gives a path with a parent step', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('..', '.', 'a', '', 'b c')).map((parts) => parts.join('/')),
        (text) => {
          expect(toRepositoryPath(text)?.split('/') ?? []).not.toContain('..');
        },
      ),
    );
  });
});

it('isFetchRef() takes full branch and tag names only', () => {
  expect(['refs/heads/master', 'refs/tags/v1.0', 'refs/heads/dist/a'].every(isFetchRef)).toBe(true);
  expect(
    [
      'master',
      'refs/pull/1/head',
      'refs/heads/*',
      'refs/heads/-x',
      'refs/heads/a..b',
      'refs/heads/a b',
      '--all',
    ].some(isFetchRef),
  ).toBe(false);
});

describe('parseFileUrl()', () => {
  it.each([
    [
      `https://github.com/acme/blog/blob/${SHA}/web/Dockerfile`,
      'https://github.com/acme/blog',
      'web/Dockerfile',
    ],
    [
      `https://gitlab.example/g/s/p/-/blob/${SHA}/Dockerfile.base`,
      'https://gitlab.example/g/s/p',
      'Dockerfile.base',
    ],
    [
      `https://bitbucket.org/acme/blog/src/${SHA}/Dockerfile`,
      'https://bitbucket.org/acme/blog',
      'Dockerfile',
    ],
    [
      `https://codeberg.org/acme/blog/src/commit/${SHA}/a/Dockerfile`,
      'https://codeberg.org/acme/blog',
      'a/Dockerfile',
    ],
    [
      `https://git.example/p/+oci/b/tree/oci/index.json?h=refs/tags/x&id=${SHA}`,
      'https://git.example/p/+oci/b',
      'oci/index.json',
    ],
  ])('reads %s', (url, repository, path) => {
    const link = parseFileUrl(url);
    expect(link).toMatchObject({ repository, ref: SHA, path });
    expect(toLocation(link!)).toMatchObject({ repository, commit: SHA, path });
  });

  it('keeps the branch a cgit link names', () => {
    const link = parseFileUrl(`https://git.example/p/tree/a/Dockerfile?h=refs/heads/x&id=${SHA}`);
    expect(toLocation(link!)).toEqual({
      repository: 'https://git.example/p',
      commit: SHA,
      directory: 'a',
      path: 'a/Dockerfile',
      ref: 'refs/heads/x',
    });
  });

  it('names no location for a branch', () => {
    expect(toLocation(parseFileUrl('https://github.com/acme/blog/blob/master/Dockerfile')!)).toBeUndefined();
  });

  it.each([
    'https://github.com/acme/blog',
    `https://github.com/acme/blog/blob/${SHA}`,
    `https://github.com/acme/blog/blob/${SHA}/%2e%2e/%2e%2e/x`,
    `https://github.com/acme/blog/blob/${SHA}/..%2f..%2fx`,
    `https://user@github.com/acme/blog/blob/--help/x`,
    'javascript:alert(1)',
  ])('refuses %s', (url) => {
    const link = parseFileUrl(url);
    expect(link === undefined || !link.path.includes('..')).toBe(true);
    expect(link === undefined ? undefined : toLocation(link)).toBeUndefined();
  });
});
