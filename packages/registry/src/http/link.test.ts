import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextPage, parseLinks } from './link.ts';

const response = (link: string | string[] | undefined) => ({
  headers: { link },
  url: new URL('https://registry.corp/v2/a/tags/list?n=2'),
});

describe('nextPage()', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['</v2/a/tags/list?last=b&n=2>; rel="next"', '/v2/a/tags/list?last=b&n=2'],
    ['</v2/x>; rel=next', '/v2/x'],
    ['</v2/x>; REL="Next"', '/v2/x'],
    ['</v2/x>; title="a, b; c"; rel="prev next"', '/v2/x'],
    ['</v2/prev>; rel="prev", </v2/x>; rel="next"', '/v2/x'],
    ['</v2/x>; rel="prev"; rel="next"', undefined],
    ['<https://registry.corp:443/v2/x>; rel="next"', '/v2/x'],
    ['</v2/x?a=1,2;3>; rel="next"', '/v2/x?a=1,2;3'],
    ['/v2/x; rel="next"', undefined],
    ['</v2/x; rel="next"', undefined],
  ])('of %j is %s', (link, path) => {
    const url = nextPage(response(link), 'tags');
    expect(url === undefined ? undefined : url.pathname + url.search).toBe(path);
  });

  test.each([
    '<https://evil.example/v2/x>; rel="next"',
    '<//evil.example/v2/x>; rel="next"',
    '<http://registry.corp/v2/x>; rel="next"',
    '<https://registry.corp:8443/v2/x>; rel="next"',
    '<file:///etc/passwd>; rel="next"',
  ])('on another origin is refused: %s', (link) => {
    expect(() => nextPage(response(link), 'tags')).toThrow(
      expect.objectContaining({ code: 'REDIRECT_REFUSED' }),
    );
  });
});

test('parseLinks() takes any text', () => {
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseLinks(text))));
  expect(parseLinks(`<${'<'.repeat(100_000)}`)).toEqual([]);
});
