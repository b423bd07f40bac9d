import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isUsedAlike, pythonSource, sameBytecode } from './python-bytecode.ts';

function compiled(time: number, body: Uint8Array): Buffer {
  const header = Buffer.from([0xa7, 0x0d, 13, 10, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
  header.writeUInt32LE(time, 8);
  return Buffer.concat([header, body]);
}

describe('isUsedAlike()', () => {
  test('tells by the times of both sources, and answers for any bytes', () => {
    const used = (original?: number, rebuilt?: number) =>
      isUsedAlike(compiled(7, Buffer.from('x')), { original, rebuilt });
    expect([used(7, 7.5), used(1, 2), used(7, 8), used(7), used()]).toEqual([true, true, false, false, true]);
    const time = fc.option(fc.double(), { nil: undefined });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), time, time, (bytes, original, rebuilt) => {
        expect(typeof isUsedAlike(Buffer.from(bytes), { original, rebuilt })).toBe('boolean');
      }),
    );
  });
});

describe('sameBytecode()', () => {
  test('allows another time, and no other byte', () => {
    const [one, other] = [1, 2].map((time) => compiled(time, Buffer.from('some code')));
    const times = { original: 1, rebuilt: 2 };
    expect(sameBytecode(one!, other!, times)).toBe(true);
    fc.assert(
      fc.property(fc.nat(one!.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(other!);
        altered[at] = (altered[at] ?? 0) ^ change;
        // An altered time is not the one of the source any more.
        expect(sameBytecode(one!, altered, times)).toBe(false);
        expect(sameBytecode(one!, altered, { original: undefined, rebuilt: undefined })).toBe(
          at >= 8 && at < 12,
        );
      }),
    );
  });

  test('reads any bytes to an end, and times beyond 2106 as Python does', () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.uint8Array(),
        fc.option(fc.double(), { nil: undefined }),
        (a, b, time) => {
          const times = { original: time, rebuilt: time };
          expect(typeof sameBytecode(Buffer.from(a), Buffer.from(b), times)).toBe('boolean');
        },
      ),
    );
    const [one, other] = [1, 2].map((time) => compiled(time, Buffer.from('x')));
    expect(sameBytecode(one!, other!, { original: 2 ** 32 + 1, rebuilt: 2.75 })).toBe(true);
    expect(
      sameBytecode(compiled(2 ** 32 - 5, Buffer.from('x')), other!, { original: -5.5, rebuilt: 3 }),
    ).toBe(false);
  });
});

test.each([
  ['/usr/lib/python3/dist-packages/__pycache__/six.cpython-311.pyc', '/usr/lib/python3/dist-packages/six.py'],
  ['/a/__pycache__/b.cpython-39.opt-2.pyc', '/a/b.py'],
  ['/a/__pycache__/b.pypy39.pyc', '/a/b.py'],
  ['/usr/bin/b.cpython-311.pyc', undefined],
  ['/a/__pycache__/b.pyc', undefined],
  ['/a/__pycache__/c/b.cpython-311.pyc', undefined],
])('pythonSource() of %s is %s', (path, source) => {
  expect(pythonSource(path)).toBe(source);
});
