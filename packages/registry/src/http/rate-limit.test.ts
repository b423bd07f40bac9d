import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rateLimitOf } from './rate-limit.ts';
import { retryAfterMs } from './retry.ts';

describe('rateLimitOf()', () => {
  test.each([
    [
      { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
      { limit: 100, remaining: 76, windowSeconds: 21600 },
    ],
    [{ 'ratelimit-remaining': '0' }, { remaining: 0 }],
    [{ 'ratelimit-limit': '10, 10;w=1, 50;w=60' }, { limit: 10 }],
    [
      { 'ratelimit-limit': '5; w=60', 'docker-ratelimit-source': '192.0.2.1' },
      { limit: 5, windowSeconds: 60, source: '192.0.2.1' },
    ],
    [{ 'ratelimit-limit': '5', 'docker-ratelimit-source': 'a\u009bb' }, { limit: 5 }],
    [{ 'ratelimit-limit': 'many' }, undefined],
    [{ 'ratelimit-limit': ['1', '2'] }, undefined],
    [{}, undefined],
  ])('%j is %j', (headers, expected) => {
    expect(rateLimitOf(headers as never)).toEqual(expected);
  });

  test('reads back what is written, and takes anything', () => {
    const count = fc.integer({ min: 0, max: 999_999_999 });
    fc.assert(
      fc.property(count, count, (limit, windowSeconds) => {
        expect(rateLimitOf({ 'ratelimit-limit': `${limit};w=${windowSeconds}` })).toEqual({
          limit,
          windowSeconds,
        });
      }),
    );
    fc.assert(
      fc.property(fc.string(), fc.string(), (limit, remaining) => {
        const read = rateLimitOf({ 'ratelimit-limit': limit, 'ratelimit-remaining': remaining });
        for (const value of Object.values(read ?? {})) expect(Number.isSafeInteger(value)).toBe(true);
      }),
    );
  });
});

describe('retryAfterMs()', () => {
  test('takes a date for the time until then', () => {
    const ahead = retryAfterMs(new Date(Date.now() + 60_000).toUTCString()) ?? 0;
    expect(ahead).toBeGreaterThan(50_000);
    expect(ahead).toBeLessThanOrEqual(60_000);
  });

  test('is never negative nor NaN', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
        ),
        (text) => {
          expect(retryAfterMs(text) ?? 0).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
