import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { ImagevetError } from '../errors.ts';
import { end, entry, pax, record } from '../testing/raw-tar.ts';
import type { LayerLimits } from './limits.ts';
import { scanLayer } from './scan-layer.ts';

// Archives no writer makes. What extraction does with them: extract/hostile-extraction.test.ts.

async function scan(parts: readonly Buffer[], limits?: Partial<LayerLimits>) {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield* parts;
  }
  return scanLayer(chunks(), { limits });
}

const long = 'a/'.repeat(400);

describe('row 38, S12, S13: scanLayer() refuses', () => {
  const negative = Buffer.alloc(12, 0xff);
  const huge = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0xff)]);
  test.each<[what: string, parts: Buffer[], code: string]>([
    ['a name that leaves the root', [entry({ name: '../etc/passwd' })], 'INVALID_LAYER'],
    ['a name that leaves the root deep inside', [entry({ name: 'a/../../b' })], 'INVALID_LAYER'],
    ['a PAX name that leaves the root', [pax(record('path', '../x')), entry({ name: 'x' })], 'INVALID_LAYER'],
    [
      'a hardlink out of the root',
      [entry({ name: 'x', flag: '1', linkName: '../../etc/shadow' })],
      'INVALID_LAYER',
    ],
    ['a whiteout of ..', [entry({ name: 'etc/.wh...' })], 'INVALID_LAYER'],
    ['a whiteout of .', [entry({ name: 'etc/.wh..' })], 'INVALID_LAYER'],
    ['a whiteout of nothing', [entry({ name: 'etc/.wh.' })], 'INVALID_LAYER'],
    ['NUL in a PAX path', [pax(record('path', 'a\0b')), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['NUL in a PAX link', [pax(record('linkpath', 'a\0b')), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['a negative size', [entry({ name: 'x', size: negative })], 'INVALID_LAYER'],
    ['a size beyond exact numbers', [entry({ name: 'x', size: huge })], 'INVALID_LAYER'],
    ['a negative PAX size', [pax(record('size', '-1')), entry({ name: 'x' })], 'INVALID_LAYER'],
    [
      'a PAX size beyond exact numbers',
      [pax(record('size', '9'.repeat(16))), entry({ name: 'x' })],
      'INVALID_LAYER',
    ],
    ['a size that is no number', [entry({ name: 'x', size: '12x45678901\0' })], 'INVALID_LAYER'],
    ['a negative uid', [entry({ name: 'x', uid: '\xff'.repeat(8) })], 'INVALID_LAYER'],
    ['a wrong checksum', [entry({ name: 'x', checksum: '0000000\0' })], 'INVALID_LAYER'],
    ['text instead of a header', [Buffer.alloc(512, 'text')], 'INVALID_LAYER'],
    ['a truncated header', [entry({ name: 'x' }).subarray(0, 300)], 'INVALID_LAYER'],
    ['truncated content', [entry({ name: 'x', size: '00000010000\0' })], 'INVALID_LAYER'],
    ['truncated padding', [entry({ name: 'x', body: 'content' }).subarray(0, 600)], 'INVALID_LAYER'],
    ['an entry after one zero block', [Buffer.alloc(512), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['an extension without an entry', [pax(record('path', 'x'))], 'INVALID_LAYER'],
    ['an unknown type', [entry({ name: 'x', flag: 'Z' })], 'INVALID_LAYER'],
    ['a GNU sparse file', [entry({ name: 'x', flag: 'S' })], 'UNSUPPORTED'],
    ['a PAX sparse file', [pax(record('GNU.sparse.major', '1')), entry({ name: 'x' })], 'UNSUPPORTED'],
    ['a PAX record of wrong length', [pax('99 path=x\n'), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['a PAX record of length zero', [pax('0 path=x\n'), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['a PAX record without key', [pax('6 =ab\n'), entry({ name: 'x' })], 'INVALID_LAYER'],
    ['an extension of gigabytes', [entry({ name: 'x', flag: 'x', size: '77777777777\0' })], 'LIMIT_EXCEEDED'],
    ['a long name of gigabytes', [entry({ name: 'x', flag: 'L', size: '77777777777\0' })], 'LIMIT_EXCEEDED'],
    [
      'a path beyond PATH_MAX',
      [pax(record('path', 'x'.repeat(4096))), entry({ name: 'x' })],
      'LIMIT_EXCEEDED',
    ],
    ['truncated gzip', [gzipSync(entry({ name: 'x' })).subarray(0, -4)], 'INVALID_LAYER'],
    ['garbage after gzip', [gzipSync(end), Buffer.from('garbage')], 'INVALID_LAYER'],
    [
      'a corrupt gzip stream',
      [Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(99, 7)])],
      'INVALID_LAYER',
    ],
    ['a zstd frame of no known kind', [Buffer.from('28b52ffdffffffffffffffffff', 'hex')], 'INVALID_LAYER'],
    ['a zstd window of 2 GiB', [Buffer.from('28b52ffd00a8010000', 'hex')], 'INVALID_LAYER'],
  ])('scanLayer() refuses %s', async (_, parts, code) => {
    const error = await scan(parts).catch((caught: unknown) => caught);
    expect(ImagevetError.is(error)).toBe(true);
    expect(error).toMatchObject({ name: 'RegistryError', code });
  });

  test('row 20, S11: scanLayer() refuses a gzip bomb early', async () => {
    const bomb = gzipSync(Buffer.alloc(100 * 2 ** 20));
    await expect(scan([bomb])).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('compression ratio'),
    });
    await expect(scan([bomb], { maxUncompressedBytes: 2 ** 20 })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('uncompressed size'),
    });
  });

  test('row 38, S11: scanLayer() refuses more entries or names than the limits', async () => {
    const entries = [1, 2, 3].map((number) => entry({ name: `file${number}` }));
    await expect(scan(entries, { maxEntries: 2 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await expect(scan(entries, { maxMetadataBytes: 15 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    const xattr = [pax(record('SCHILY.xattr.user.x', 'x'.repeat(500))), entry({ name: 'x' })];
    await expect(scan(xattr, { maxMetadataBytes: 500 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});

describe('row 38, S12: scanLayer() reads as container engines do, and notes', () => {
  test.each<[what: string, parts: Buffer[], paths: string[], anomalies: string[]]>([
    ['an absolute name', [entry({ name: '/etc/passwd' })], ['/etc/passwd'], []],
    ['.. inside the root', [entry({ name: 'a/../b' })], ['/b'], ['dot-dot-in-path /b']],
    ['a path twice', [entry({ name: 'a' }), entry({ name: './a' })], ['/a', '/a'], ['duplicate-entry /a']],
    ['a file beside its whiteout', [entry({ name: '.wh.a' }), entry({ name: 'a' })], ['/a', '/a'], []],
    [
      'a directory that declares content',
      [entry({ name: 'a', flag: '5', size: '00000001000\0' }), entry({ name: 'b' })],
      ['/a', '/b'],
      ['size-without-content /a'],
    ],
    [
      'a hardlink that declares content',
      [entry({ name: 'a', flag: '1', linkName: 'b', size: '00000001000\0' }), entry({ name: 'b' })],
      ['/a', '/b'],
      ['size-without-content /a'],
    ],
    [
      'a global header that renames',
      [entry({ name: 'g', flag: 'g', body: record('path', 'evil') }), entry({ name: 'a' })],
      ['/a'],
      ['global-pax-header /'],
    ],
    [
      'two extensions that disagree',
      [pax(record('path', 'one')), entry({ name: 'L', flag: 'L', body: 'two\0' }), entry({ name: 'a' })],
      ['/two'],
      ['conflicting-names /two'],
    ],
    ['an overlay whiteout device', [entry({ name: 'a', flag: '3' })], ['/a'], ['device-as-whiteout /a']],
    [
      'a GNU long name',
      [entry({ name: 'L', flag: 'L', body: `${long}x\0` }), entry({ name: 'a' })],
      [`/${long}x`],
      [],
    ],
    ['an empty PAX record', [pax(record('path', '')), entry({ name: 'a' })], ['/a'], []],
    ['an old entry that is a directory by its slash', [entry({ name: 'a/', magic: '' })], ['/a'], []],
  ])('scanLayer() notes %s', async (_, parts, paths, anomalies) => {
    const { entries, anomalies: noted } = await scan([...parts, end]);
    expect(entries.map(({ path }) => path)).toEqual(paths);
    expect(noted.map(({ kind, path }) => `${kind} ${path}`)).toEqual(anomalies);
  });

  test('scanLayer() reads numbers in base 256 and from PAX records', async () => {
    const large = Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    const parts = [
      entry({ name: 'a', uid: '\x80\0\0\0\x7f\x7f\x7f\x7f', encoding: 'latin1', size: large, body: 'hello' }),
      pax(record('uid', '4000000000'), record('mtime', '-1.5'), record('size', '3')),
      entry({ name: 'b', size: '00000000000\0', body: 'abc' }),
    ];
    const { entries } = await scan([...parts, end]);
    expect(entries).toMatchObject([
      { path: '/a', uid: 0x7f7f7f7f, size: 5 },
      { path: '/b', uid: 4_000_000_000, mtime: -1.5, size: 3, digest: digestOf('abc') },
    ]);
  });

  test('scanLayer() notes an archive without an end', async () => {
    const { anomalies } = await scan([entry({ name: 'a' })]);
    expect(anomalies).toEqual([{ kind: 'missing-end-of-archive', path: '/' }]);
    expect((await scan([])).anomalies).toEqual([{ kind: 'missing-end-of-archive', path: '/' }]);
  });

  test('scanLayer() keeps names apart that are not UTF-8', async () => {
    const named = (bytes: number[]) => {
      const path = Buffer.concat([Buffer.from(' path=é'), Buffer.from(bytes), Buffer.from('\n')]);
      return entry({
        name: 'pax',
        flag: 'x',
        body: Buffer.concat([Buffer.from(`${path.length + 2}`), path]),
      });
    };
    const parts = [[0xff], [0xfe], [0xe2, 0x82], [0xf0, 0x9f, 0x98, 0x80]].flatMap((bytes) => [
      named(bytes),
      entry({ name: 'x' }),
    ]);
    const { entries } = await scan([...parts, end]);
    expect(entries.map(({ path }) => path)).toEqual(['/é\udcff', '/é\udcfe', '/é\udce2\udc82', '/é😀']);
  });

  test('scanLayer() notes at most 100 anomalies', async () => {
    const { anomalies } = await scan([...Array.from({ length: 150 }, () => entry({ name: 'a' })), end]);
    expect(anomalies).toHaveLength(100);
  });
});
