import { expect, test } from 'vitest';
import type { HostApi } from './api.ts';
import { reachability } from './bitbucket-reachability.ts';

const COMMIT = 'c'.repeat(40);
const TIP = 'd'.repeat(40);

/** Asks about a commit that no tip is; `left` is what a host says of its history without theirs. */
function ask(left: unknown): Promise<string> {
  const api = {
    json: async (path: string) => (path.includes('/commits?') ? left : { hash: COMMIT }),
    async *pages() {
      yield [{ target: { hash: TIP } }];
    },
  } as unknown as HostApi;
  return reachability(api, '/r', COMMIT, { operation: 'ask' }, async () => undefined);
}

test('reachability() of Bitbucket believes what it is told, and no more', async () => {
  expect(await ask({ values: [] })).toBe('reachable');
  expect(await ask({ values: [{ hash: COMMIT }] })).toBe('unreachable');
  // The host does not say: that no ref holds it was not told.
  expect(await ask(undefined)).toBe('unchecked');
  await expect(ask({ values: 'none' })).rejects.toMatchObject({ code: 'SOURCE_INVALID' });
});
