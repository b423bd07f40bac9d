import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ExecutionConfig } from '../oci/types.ts';
import { mergeExecution } from './rebase-config.ts';

const key = fc.constantFrom('A', 'B', 'PATH', '__proto__');
const value = fc.constantFrom('1', '2', 'x=y', '');
const texts = fc.array(value, { minLength: 1, maxLength: 2 });
/** Settings as a builder writes them: every variable once. */
const execution: fc.Arbitrary<ExecutionConfig> = fc.record(
  {
    Env: fc
      .uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, minLength: 1 })
      .map((pairs) => pairs.map(([name, text]) => `${name}=${text}`)),
    Labels: fc.dictionary(key, value, { minKeys: 1 }),
    User: fc.constantFrom('root', '1000'),
    Cmd: texts,
    Entrypoint: texts,
  },
  { requiredKeys: [] },
);

describe('mergeExecution()', () => {
  test('changes nothing when the base stays', () => {
    fc.assert(
      fc.property(execution, execution, (image, base) => {
        const { execution: merged, conflicts } = mergeExecution(image, base, base);
        expect({ ...merged, Env: sorted(merged.Env) }).toEqual({ ...image, Env: sorted(image.Env) });
        expect(conflicts).toEqual([]);
      }),
    );
  });

  test('gives what added nothing to its base the new one', () => {
    fc.assert(
      fc.property(execution, execution, (before, after) => {
        const { execution: merged, conflicts } = mergeExecution(before, before, after);
        for (const name of ['Env', 'Labels', 'User', 'Cmd', 'Entrypoint'] as const) {
          expect(entries(merged[name])).toEqual(entries(after[name]));
        }
        expect(conflicts).toEqual([]);
      }),
    );
  });

  test('keeps what is the image’s own, and says where the base changed too', () => {
    fc.assert(
      fc.property(execution, execution, execution, (image, before, after) => {
        const { execution: merged, conflicts } = mergeExecution(image, before, after);
        if (image.User !== undefined && image.User !== before.User) {
          expect(merged.User).toBe(image.User);
          const contested = before.User !== after.User && image.User !== after.User;
          expect(conflicts.includes('User')).toBe(contested);
        }
      }),
    );
  });

  test('leaves ONBUILD to the image', () => {
    const { execution: merged } = mergeExecution(
      { OnBuild: null },
      { OnBuild: null },
      { OnBuild: ['RUN x'] },
    );
    expect(merged.OnBuild).toBeNull();
  });
});

/** An empty list is as good as none. */
function entries(value: unknown): unknown {
  if (typeof value === 'string') return value;
  return Object.entries(value ?? {}).sort();
}

function sorted(list: unknown): readonly unknown[] {
  return [...((list as readonly unknown[]) ?? [])].sort();
}
