import { expect, test } from 'vitest';
import { proxyArgs, withoutSecrets } from './build-proxy.ts';

const told = (http: string, text: string) => {
  const lines: string[] = [];
  withoutSecrets({ http }, ({ text: line }) => lines.push(line))?.({ type: 'build-log', text });
  return lines[0];
};

test('proxyArgs() names what is given', () => {
  expect(proxyArgs({ http: 'http://p:1', no: 'a,b' })).toEqual({ http_proxy: 'http://p:1', no_proxy: 'a,b' });
  expect(proxyArgs()).toEqual({});
});

test('withoutSecrets() takes a password out however it is written', () => {
  const url = 'http://me:p%40ss@proxy.example:3128/';
  expect(told(url, `http_proxy=${url}`)).toBe('http_proxy=http://me:***@proxy.example:3128/');
  expect(told(url, 'password p@ss')).toBe('password ***');
  const basic = Buffer.from('me:p@ss').toString('base64');
  expect(told(url, `proxy-authorization: Basic ${basic}`)).toBe('proxy-authorization: Basic ***');
  expect(told('http://me:a@b@proxy.example/', 'a@b, a%40b')).toBe('***, ***');
  expect(told('http://proxy.example/', 'no password')).toBe('no password');
  expect(told('http://me:100%@proxy.example/', 'is 100% gone')).toBe('is *** gone');
});
