import { describe, expect, test } from 'vitest';
import { RegistryError } from './errors.ts';

describe('RegistryError', () => {
  test.each(['REDIRECT_REFUSED', 'LIMIT_EXCEEDED', 'INVALID_MANIFEST', 'AMBIGUOUS_MANIFEST'] as const)(
    '%s says what to do, unless the place it happened at knows better',
    (code) => {
      expect(new RegistryError(code, 'x').hint).toMatch(/^[A-Z].+\.$/);
      expect(new RegistryError(code, 'x', { hint: undefined }).hint).toMatch(/^[A-Z].+\.$/);
      expect(new RegistryError(code, 'x', { hint: 'Closer.' }).hint).toBe('Closer.');
    },
  );
});
