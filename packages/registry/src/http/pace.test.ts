import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Pace } from './pace.ts';

describe('Pace', () => {
  test('lets so many of one host run at once, in order, and more of another', async () => {
    const pace = new Pace({ requestsAtOnce: 2 });
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const work = (index: number) => async () => {
      order.push(index);
      running += 1;
      most = Math.max(most, running);
      await sleep(2);
      running -= 1;
      if (index === 3) throw new Error('three');
    };
    const all = Array.from({ length: 8 }, (_, index) => pace.run('a', work(index), undefined));
    const settled = await Promise.allSettled(all);
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    await Promise.all(['b', 'c', 'd'].map((host) => pace.run(host, work(0), undefined)));
    expect(most).toBe(3);
  });

  test('gives an aborted turn to the next', async () => {
    const pace = new Pace({ requestsAtOnce: 1 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const first = pace.run('a', () => promise, undefined);
    const controller = new AbortController();
    const reason = new Error('enough');
    const second = pace.run('a', async () => 'second', controller.signal);
    const third = pace.run('a', async () => 'third', undefined);
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    await expect(pace.run('a', async () => 'late', controller.signal)).rejects.toBe(reason);
    resolve('first');
    expect([await first, await third]).toEqual(['first', 'third']);
  });

  test('starts no more in a second than it may', async () => {
    const pace = new Pace({ requestsPerSecond: 100 });
    const starts: number[] = [];
    await Promise.all(
      Array.from({ length: 5 }, () => pace.run('a', async () => void starts.push(Date.now()), undefined)),
    );
    const [first = 0, last = 0] = [starts[0], starts.at(-1)];
    // Four intervals of 10 ms, less what timers are early.
    expect(last - first).toBeGreaterThanOrEqual(36);
  });
});
