import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLineageCache } from './lineage-cache.ts';

const owner = {};

describe('LineageCache.remember()', () => {
  test('loads once for all who ask, at once and later', async () => {
    const cache = createLineageCache();
    let loads = 0;
    const load = async () => {
      loads += 1;
      await setImmediate();
      return { loads };
    };
    const first = await Promise.all([1, 2, 3].map(() => cache.remember(owner, 'a', load)));
    expect([...first, await cache.remember(owner, 'a', load)]).toEqual(
      Array.from({ length: 4 }, () => ({ loads: 1 })),
    );
  });

  test('keeps that there is nothing, and tells owners apart', async () => {
    const cache = createLineageCache();
    const asked: string[] = [];
    const ask = (who: object, name: string) =>
      cache.remember(who, 'a', async () => {
        asked.push(name);
      });
    const other = {};
    for (let round = 0; round < 2; round += 1) await Promise.all([ask(owner, 'one'), ask(other, 'two')]);
    expect(asked).toEqual(['one', 'two']);
  });

  test('keeps no failure, and gives it to all who waited for it', async () => {
    const cache = createLineageCache();
    let loads = 0;
    const load = async () => {
      loads += 1;
      if (loads === 1) throw new Error('down');
      return loads;
    };
    const both = await Promise.allSettled([1, 2].map(() => cache.remember(owner, 'a', load)));
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await cache.remember(owner, 'a', load)).toBe(2);
  });

  test('goes on for those who stay when one who waits aborts, and stops when all have', async () => {
    const cache = createLineageCache();
    const controllers = [new AbortController(), new AbortController()];
    const reasons = [new Error('first'), new Error('second')];
    let inner: AbortSignal | undefined;
    const waiting = controllers.map(({ signal }) =>
      cache.remember(
        owner,
        'a',
        (own) => {
          inner = own;
          return new Promise<never>((_resolve, reject) => {
            own.addEventListener('abort', () => reject(own.reason));
          });
        },
        { signal },
      ),
    );
    const settled = Promise.allSettled(waiting);
    controllers[0]?.abort(reasons[0]);
    await expect(waiting[0]).rejects.toBe(reasons[0]);
    expect(inner?.aborted).toBe(false);
    controllers[1]?.abort(reasons[1]);
    expect((await settled).map((each) => each.status === 'rejected' && each.reason)).toEqual(reasons);
    expect(inner?.aborted).toBe(true);
    expect(await cache.remember(owner, 'a', async () => 'again')).toBe('again');
  });

  test('rejects at once when aborted before, and loads nothing', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const load = () => Promise.reject(new Error('loaded'));
    await expect(createLineageCache().remember(owner, 'a', load, { signal })).rejects.toBe(reason);
  });

  test('lets out what was not used for longest, and holds no more than it may', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }), async (keys) => {
        const size = 10;
        // A name takes three bytes: the number of the owner, a space, the key.
        const cache = createLineageCache({ maxBytes: 3 * (size + 3) });
        const held: number[] = [];
        for (const key of keys) {
          let loaded = false;
          const load = async () => {
            loaded = true;
            return key;
          };
          await cache.remember(owner, String(key), load, { sizeOf: () => size });
          const at = held.indexOf(key);
          expect(loaded).toBe(at < 0);
          if (at >= 0) held.splice(at, 1);
          held.push(key);
          if (held.length > 3) held.shift();
        }
      }),
    );
  });
});

test('LineageCache.limited() has no more under way than it may', async () => {
  const cache = createLineageCache({ concurrency: 3 });
  let running = 0;
  let most = 0;
  const work = async () => {
    running += 1;
    most = Math.max(most, running);
    await setImmediate();
    running -= 1;
  };
  await Promise.all(Array.from({ length: 20 }, () => cache.limited(work)));
  expect(most).toBe(3);
});

test.each([{ maxBytes: 0 }, { concurrency: 0 }, { concurrency: 1.5 }, { maxBytes: Number.NaN }])(
  'createLineageCache() refuses %j',
  (options) => {
    expect(() => createLineageCache(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  },
);
