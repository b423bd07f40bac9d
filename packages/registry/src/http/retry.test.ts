import { afterEach, expect, test, vi } from 'vitest';
import { jitterMs } from './retry.ts';

afterEach(() => void vi.restoreAllMocks());

test('jitterMs() waits a random part of a doubling ceiling, up to a bound', () => {
  for (const part of [0, 0.25, 0.999]) {
    vi.spyOn(Math, 'random').mockReturnValue(part);
    expect([1, 2, 3, 4, 20].map((attempt) => jitterMs(attempt, 100, 500))).toEqual(
      [100, 200, 400, 500, 500].map((ceiling) => part * ceiling),
    );
  }
});
