import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoreError } from '../../errors.ts';
import { Allowance, allowanceOf, isRateLimited, retryTime } from './allowance.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');
const SOON = Math.floor(Date.now() / 1000) + 3600;
const API = 'https://api.example/x';

function refusal(allowance: Allowance, url = API): CoreError | undefined {
  try {
    allowance.take(url, 'ask')();
    return undefined;
  } catch (error) {
    if (error instanceof CoreError) return error;
    throw error;
  }
}

describe('retryTime()', () => {
  it.each([
    [{ 'retry-after': '60' }, NOW + 60_000],
    [{ 'retry-after': 'Fri, 01 May 2026 12:30:00 GMT' }, Date.parse('2026-05-01T12:30:00Z')],
    [{ 'x-retry-after': '1777640400' }, 1_777_640_400_000], // Docker Hub: a time
    [{ 'x-retry-after': '30' }, NOW + 30_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1777640400' }, 1_777_640_400_000],
    [{ 'ratelimit-remaining': '0', 'ratelimit-reset': '1777640400' }, 1_777_640_400_000], // GitLab
    [{ 'ratelimit-remaining': '0', 'ratelimit-reset': '50' }, NOW + 50_000], // IETF drafts
    // GitHub's secondary limit: the first has something left, and does not matter
    [{ 'retry-after': '60', 'x-ratelimit-remaining': '7', 'x-ratelimit-reset': '1777640400' }, NOW + 60_000],
    [
      { 'retry-after': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1777640400' },
      1_777_640_400_000,
    ],
    [{}, undefined],
    [{ 'retry-after': 'soon', 'x-ratelimit-reset': '-1' }, undefined],
  ])('reads %j', (headers, time) => {
    expect(retryTime(headers, NOW)).toBe(time);
  });

  it('gives a time that can be written, or none, whatever the headers say', () => {
    const value = fc.oneof(
      fc.string(),
      fc.nat().map(String),
      fc.bigInt().map(String),
      fc.constant(undefined),
    );
    const headers = fc.record({
      'retry-after': value,
      'x-retry-after': value,
      'x-ratelimit-reset': value,
      'ratelimit-reset': value,
      'x-ratelimit-remaining': value,
    });
    fc.assert(
      fc.property(headers, (given) => {
        const time = retryTime(given, NOW);
        if (time !== undefined) expect(new Date(time).toISOString()).toMatch(/Z$/);
        expect(Object.values(allowanceOf(given, NOW)).every(Number.isSafeInteger)).toBe(true);
      }),
    );
  });
});

it('isRateLimited() tells a refusal for asking too much from one for asking', () => {
  expect(isRateLimited(429, {})).toBe(true);
  expect(isRateLimited(403, { 'x-ratelimit-remaining': '0' })).toBe(true);
  expect(isRateLimited(403, { 'retry-after': '1' })).toBe(true);
  expect([403, 401, 200].some((status) => isRateLimited(status, { 'x-ratelimit-remaining': '9' }))).toBe(
    false,
  );
});

describe('Allowance', () => {
  it('asks no more than it was told to, and says so', () => {
    const allowance = new Allowance({ maxRequests: 2 });
    expect([refusal(allowance), refusal(allowance, 'https://other.example/')]).toEqual([
      undefined,
      undefined,
    ]);
    expect(refusal(allowance)).toMatchObject({ code: 'SOURCE_RATE_LIMITED', details: { maxRequests: 2 } });
  });

  it('asks nothing of a service that has nothing left, and says when it will', () => {
    const allowance = new Allowance({});
    const headers = {
      'x-ratelimit-limit': '60',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': `${SOON}`,
    };
    allowance.take(API, 'ask')(200, headers);
    expect(refusal(allowance)).toMatchObject({
      code: 'SOURCE_RATE_LIMITED',
      message: 'ask: api.example has 0 of 60 requests left',
      details: { limit: 60, remaining: 0, retryAt: new Date(SOON * 1000).toISOString() },
    });
    expect(refusal(allowance, 'https://raw.example/')).toBeUndefined();
  });

  it('leaves a reserve for others, counting those that are still waiting', () => {
    const allowance = new Allowance({ reserve: 10 });
    const told = (remaining: number) => ({
      'ratelimit-remaining': `${remaining}`,
      'ratelimit-reset': `${SOON}`,
    });
    allowance.take(API, 'ask')(200, told(12));
    const waiting = [allowance.take(API, 'ask'), allowance.take(API, 'ask')];
    expect(refusal(allowance)?.code).toBe('SOURCE_RATE_LIMITED');
    waiting[0]!(); // lost
    expect(refusal(allowance)).toBeUndefined();
    waiting[1]!(304, told(12)); // cost nothing
    expect(refusal(allowance)).toBeUndefined();
    allowance.take(API, 'ask')(200, told(10));
    expect(refusal(allowance)?.message).toMatch(/10 are to be left/);
  });

  it('waits as long as a service that refused says, and believes no service for more than a day', () => {
    const allowance = new Allowance({});
    allowance.take(API, 'ask')(429, { 'retry-after': '3600' });
    expect(refusal(allowance)?.details?.retryAt).toBeDefined();
    const forever = new Allowance({});
    forever.take(API, 'ask')(429, { 'x-retry-after': '99999999999' });
    const retryAt = Date.parse(String(refusal(forever)?.details?.retryAt));
    expect(retryAt - Date.now()).toBeLessThanOrEqual(24 * 60 * 60 * 1000);
    expect(refusal(new Allowance({}))).toBeUndefined();
  });

  it('asks again once the time has come', () => {
    const allowance = new Allowance({ reserve: 5 });
    const past = Math.floor(Date.now() / 1000) - 1;
    allowance.take(API, 'ask')(200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${past}` });
    allowance.take(API, 'ask')(429, { 'x-retry-after': `${past + 1 - 1000}` });
    expect(refusal(allowance)).toBeUndefined();
  });
});
