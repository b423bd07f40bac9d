// What BuildKit takes and refuses of flags; each case was asked of its own parser.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../errors.ts';
import { durationProblem } from './duration.ts';
import { parseDockerfile } from './parse-dockerfile.ts';

const refusal = (line: string): string | undefined => {
  try {
    parseDockerfile(`FROM a\n${line}\n`);
    return undefined;
  } catch (error) {
    if (!CoreError.is(error) || error.code !== 'INVALID_DOCKERFILE') throw error;
    return error.message;
  }
};

describe('parseDockerfile() refuses', () => {
  test.each([
    'COPY --from a b',
    'COPY --chown a b',
    'COPY --link= a b',
    'COPY --link=yes a b',
    'COPY --link --link a b',
    'COPY --chmod=1 --chmod=2 a b',
    'ADD --checksum a b',
    'ADD --keep-git-dir=1 a b',
    'RUN --mount x',
    'RUN --network x',
    'RUN --network=none --network=host x',
    'HEALTHCHECK --interval CMD x',
    'HEALTHCHECK --interval=5 CMD x',
    'HEALTHCHECK --interval=5x CMD x',
    'HEALTHCHECK --timeout=-1s CMD x',
    'HEALTHCHECK --timeout=10us CMD x',
    'HEALTHCHECK --start-period=. CMD x',
    'HEALTHCHECK --start-interval=9999999999h CMD x',
    'HEALTHCHECK --interval=5s --interval=6s CMD x',
    'HEALTHCHECK --retries=x CMD x',
    'HEALTHCHECK --retries=-1 CMD x',
    'HEALTHCHECK --retries=2147483648 CMD x',
  ])('%s', (line) => {
    expect(refusal(line)).toMatch(/2/);
  });

  test('a platform without a value', () => {
    expect(() => parseDockerfile('FROM --platform a\n')).toThrow(/--platform of FROM has no value/);
  });
});

describe('parseDockerfile() takes', () => {
  test.each([
    'COPY --from= a b',
    'COPY --link a b',
    'COPY --link=FALSE --parents=true a b',
    'COPY --exclude=a --exclude=b a b',
    'COPY --new-flag a b',
    'ADD --checksum= a b',
    'RUN --mount=type=tmpfs,target=/t --mount=type=tmpfs,target=/u x',
    'HEALTHCHECK --interval=1h30m --timeout=1.5s --start-period=0 --start-interval= --retries=+3 CMD x',
    'HEALTHCHECK --interval=.5s --timeout=5.s --start-period=1000us CMD x',
    'HEALTHCHECK --interval=-0s --timeout=0.1ns CMD x',
    'HEALTHCHECK --interval=x NONE',
    'ONBUILD COPY --from a b',
  ])('%s', (line) => {
    expect(refusal(line)).toBeUndefined();
  });
});

test('durationProblem() answers for any text, and knows what Go prints', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-+0-9.hmsuµμn]{0,12}$/)), (text) => {
      expect(['undefined', 'string']).toContain(typeof durationProblem(text));
    }),
  );
  fc.assert(
    fc.property(fc.nat(999), fc.nat(59), fc.nat(59), fc.integer({ min: 1, max: 999 }), (h, m, s, ms) => {
      expect(durationProblem(`${h}h${m}m${s}.${String(ms).padStart(3, '0')}s`)).toBeUndefined();
    }),
  );
  expect(durationProblem('1'.repeat(100_000))).toBe('is no duration');
  expect(durationProblem('1ns'.repeat(100_000))).toBe('is less than a millisecond');
});
