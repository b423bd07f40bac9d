import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProxyRules, proxyFromEnvironment } from './proxy.ts';

const PROXIES = { http: 'http://plain.corp:3128', https: 'http://secure.corp:3128' };

describe('proxyFromEnvironment()', () => {
  test.each([
    [
      { HTTP_PROXY: 'a', HTTPS_PROXY: 'b', NO_PROXY: 'c' },
      { http: 'a', https: 'b', no: 'c' },
    ],
    [{ HTTP_PROXY: 'a', http_proxy: 'b' }, { http: 'b' }],
    [{ HTTP_PROXY: 'a', REQUEST_METHOD: 'GET' }, {}],
    [{ HTTPS_PROXY: '', https_proxy: '' }, {}],
  ])('%j is %j', (environment, expected) => {
    expect(proxyFromEnvironment(environment)).toEqual(expected);
  });
});

describe('ProxyRules', () => {
  test.each([
    ['', 'https://registry.corp/', 'secure.corp:3128'],
    ['', 'http://registry.corp/', 'plain.corp:3128'],
    ['', 'http://localhost:5000/', undefined],
    ['', 'http://127.1.2.3:5000/', undefined],
    ['', 'http://[::1]:5000/', undefined],
    ['*', 'https://registry.corp/', undefined],
    ['corp', 'https://registry.corp/', undefined],
    ['corp', 'https://corp/', undefined],
    ['.corp', 'https://registry.corp/', undefined],
    ['.corp', 'https://corp/', 'secure.corp:3128'],
    ['*.corp', 'https://registry.corp/', undefined],
    ['corp', 'https://registrycorp/', 'secure.corp:3128'],
    ['a.corp, b.corp', 'https://b.corp/', undefined],
    ['registry.corp:5000', 'https://registry.corp:5000/', undefined],
    ['registry.corp:5000', 'https://registry.corp/', 'secure.corp:3128'],
    ['registry.corp:443', 'https://registry.corp/', undefined],
    ['10.0.0.0/8', 'https://10.1.2.3/', undefined],
    ['10.0.0.0/8', 'https://11.1.2.3/', 'secure.corp:3128'],
    ['10.0.0.0/99', 'https://10.1.2.3/', 'secure.corp:3128'],
    ['10.1.2.3', 'https://10.1.2.3/', undefined],
    ['2.3', 'https://10.1.2.3/', 'secure.corp:3128'],
    ['fd00::/8', 'https://[fd00::1]/', undefined],
    ['fd00::1', 'https://[fd00::1]/', undefined],
    ['[fd00::1]:5000', 'https://[fd00::1]:5000/', undefined],
    ['Registry.Corp', 'https://REGISTRY.corp./', undefined],
  ])('no=%s sends %s to %s', (no, url, host) => {
    expect(new ProxyRules({ ...PROXIES, no }).proxyOf(new URL(url))?.host).toBe(host);
  });

  test('refuses what is no proxy', () => {
    expect(() => new ProxyRules({ https: 'socks5://user:secret@a' })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.not.stringContaining('secret') }),
    );
  });

  test('takes any list of exceptions', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'*.:/[]01fa, ') }), (no) => {
        const rules = new ProxyRules({ ...PROXIES, no });
        expect([undefined, 'secure.corp:3128']).toContain(
          rules.proxyOf(new URL('https://a.b.example/'))?.host,
        );
      }),
    );
  });
});
