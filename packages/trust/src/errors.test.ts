import { describe, expect, test } from 'vitest';
import { TrustError } from './errors.ts';

describe('TrustError', () => {
  test.each(['UNREACHABLE', 'LIMIT_EXCEEDED'] as const)(
    '%s says what to do, unless the place it happened at knows better',
    (code) => {
      expect(new TrustError(code, 'x').hint).toMatch(/^[A-Z].+\.$/);
      expect(new TrustError(code, 'x', { hint: undefined }).hint).toMatch(/^[A-Z].+\.$/);
      expect(new TrustError(code, 'x', { hint: 'Closer.' }).hint).toBe('Closer.');
    },
  );
});
