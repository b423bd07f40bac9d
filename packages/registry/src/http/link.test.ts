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

describe('parseLinks()', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
  const target = fc.stringMatching(/^[ -;=?-~]{0,40}$/);
  const link = fc.record({
    target,
    relations: fc.array(token, { minLength: 1, maxLength: 3 }),
    title: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
  });

  test('reads back any links, in one line or several, quoted or not', () => {
    const write = ({
      target: to,
      relations,
      title,
    }: {
      target: string;
      relations: string[];
      title?: string;
    }) => {
      const quoted = title === undefined ? '' : `; title="${title.replaceAll(/[\\"]/g, '\\$&')}"`;
      const rel = relations.length > 1 ? `"${relations.join(' ')}"` : relations[0];
      return `<${to}>${quoted}; rel=${rel}`;
    };
    fc.assert(
      fc.property(fc.array(link, { maxLength: 5 }), fc.constantFrom(', ', ',', ' , '), (links, comma) => {
        const expected = links.map(({ target: to, relations }) => ({ target: to, relations }));
        expect(parseLinks(links.map(write).join(comma))).toEqual(expected);
        expect(parseLinks(links.map(write))).toEqual(expected);
      }),
    );
  });

  test('takes any text, and gives only targets that stand in it', () => {
    const noise = fc.oneof(fc.string(), fc.stringMatching(/^[<>;,="\\ a-z]{0,60}$/));
    fc.assert(
      fc.property(noise, (text) => {
        for (const { target: to } of parseLinks(text)) expect(text).toContain(`<${to}>`);
      }),
    );
    expect(parseLinks(`<${'<'.repeat(100_000)}`)).toEqual([]);
  });
});
