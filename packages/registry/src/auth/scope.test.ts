import { describe, expect, test } from 'vitest';
import { formatScope, mergeScopes, parseScopes, requestedScopes } from './scope.ts';

const PULL_A = { type: 'repository', name: 'team/a', actions: ['pull'] };
const texts = (scopes: Parameters<typeof mergeScopes>[0]) => scopes.map(formatScope);

describe('parseScopes()', () => {
  test.each([
    ['repository:team/a:push,pull,push', ['repository:team/a:pull,push']],
    ['repository:host:5000/a:pull registry:catalog:*', ['repository:host:5000/a:pull', 'registry:catalog:*']],
    ['repository:a:pull,*', ['repository:a:*']],
    ['repository:a:, nonsense repository:a', []],
    ['', []],
  ])('reads %j', (text, scopes) => {
    expect(texts(parseScopes(text))).toEqual(scopes);
  });
});

test('mergeScopes() unites the actions on one resource', () => {
  const scopes = parseScopes('repository:a:push repository:b:pull repository:a:pull');
  expect(texts(mergeScopes(scopes))).toEqual(['repository:a:pull,push', 'repository:b:pull']);
});

test('requestedScopes() takes from a challenge only what concerns the same repository', () => {
  const challenge = 'repository:team/b:pull,push repository:team/a:pull,metadata_read registry:catalog:*';
  expect(texts(requestedScopes([PULL_A], challenge))).toEqual(['repository:team/a:metadata_read,pull']);
  expect(texts(requestedScopes([PULL_A], undefined))).toEqual(['repository:team/a:pull']);
});
