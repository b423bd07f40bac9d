import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameLibraries } from './ldconfig-cache.ts';

interface Library {
  readonly name: string;
  readonly inode: bigint;
  readonly changed: bigint;
  readonly size: bigint;
  readonly flags: number;
  readonly noise: number;
}

/** Writes a cache as ldconfig does. */
function cache(libraries: readonly Library[]): Buffer {
  const names = [...new Set(libraries.map(({ name }) => name))];
  const strings = Buffer.from(`\0${names.map((name) => `${name}\0`).join('')}`);
  const header = Buffer.alloc(32);
  header.write('glibc-ld.so.auxcache-2.0');
  header.writeUInt32LE(libraries.length, 24);
  header.writeUInt32LE(strings.length, 28);
  const entries = libraries.map(({ name, inode, changed, size, flags, noise }) => {
    const entry = Buffer.alloc(48);
    entry.writeBigUInt64LE(inode, 0);
    entry.writeBigUInt64LE(changed, 8);
    entry.writeBigUInt64LE(size, 16);
    entry.writeUInt32LE(flags, 32);
    entry.writeUInt32LE(strings.indexOf(`\0${name}\0`) + 1, 36);
    entry.writeUInt32LE(noise, 44);
    return entry;
  });
  return Buffer.concat([header, ...entries, strings]);
}

const number = fc.bigInt({ min: 0n, max: 2n ** 40n });
const library: fc.Arbitrary<Library> = fc.record({
  name: fc.stringMatching(/^lib[a-z]{1,8}\.so\.[0-9]$/),
  inode: number,
  changed: number,
  size: number,
  flags: fc.nat(0xffff),
  noise: fc.nat(),
});
const libraries = fc.array(library, { minLength: 1, maxLength: 8 });

describe('sameLibraries()', () => {
  test('sameLibraries() allows other inodes, times, noise and order', () => {
    fc.assert(
      fc.property(libraries, number, fc.nat(), (list, inode, noise) => {
        const other = list.toReversed().map((item) => ({ ...item, inode, changed: inode, noise }));
        expect(sameLibraries(cache(list), cache(other))).toBe(true);
      }),
    );
  });

  test('sameLibraries() sees another name, size or kind of library, and one more', () => {
    fc.assert(
      fc.property(libraries, ([first, ...rest]) => {
        const item = first!;
        const list = cache([item, ...rest]);
        for (const change of [
          { name: `${item.name}0` },
          { size: item.size + 1n },
          { flags: item.flags ^ 1 },
        ]) {
          expect(sameLibraries(list, cache([{ ...item, ...change }, ...rest]))).toBe(false);
        }
        expect(sameLibraries(list, cache([item, ...rest, { ...item, name: 'libevil.so.1' }]))).toBe(false);
      }),
    );
  });

  test('sameLibraries() accepts no bytes that are not such a cache, or hide something', () => {
    const good = cache([{ name: 'libc.so.6', inode: 1n, changed: 1n, size: 1n, flags: 3, noise: 0 }]);
    const hiding = Buffer.concat([good, Buffer.from('payload\0')]);
    hiding.writeUInt32LE(good.readUInt32LE(28) + 8, 28);
    for (const bad of [
      Buffer.alloc(0),
      good.subarray(0, 40),
      Buffer.concat([good, Buffer.alloc(1)]),
      hiding,
    ]) {
      expect(sameLibraries(bad, bad)).toBe(false);
    }
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), (at, byte) => {
        const altered = Buffer.from(good);
        altered[at % altered.length] = byte;
        expect(typeof sameLibraries(good, altered)).toBe('boolean');
      }),
    );
  });
});
