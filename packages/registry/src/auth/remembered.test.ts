import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Remembered } from './remembered.ts';

describe('Remembered', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => void vi.useRealTimers());

  test('looks up once for all, again when asked afresh, and again after five minutes', async () => {
    let looked = 0;
    const answer = new Remembered(async () => ++looked);
    expect(await Promise.all([answer.get(), answer.get(), answer.get(true)])).toEqual([1, 1, 1]);
    expect(await answer.get()).toBe(1);
    expect(await answer.get(true)).toBe(2);
    expect(await answer.get()).toBe(2);
    vi.setSystemTime(Date.now() + 299_000);
    expect(await answer.get()).toBe(2);
    vi.setSystemTime(Date.now() + 2000);
    expect(await answer.get()).toBe(3);
  });

  test('does not remember a failure', async () => {
    let looked = 0;
    const answer = new Remembered(async () => {
      looked += 1;
      if (looked === 1) throw new Error('not yet');
      return looked;
    });
    await expect(answer.get()).rejects.toThrow('not yet');
    expect(await answer.get()).toBe(2);
  });
});
