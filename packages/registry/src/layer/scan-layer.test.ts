import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { scanLayer } from './scan-layer.ts';
import type { LayerEntry } from './types.ts';

/** Entries as tar-stream takes them, with their content. */
type Item = Partial<Header> & { name: string } & { content?: string | Buffer };

async function archive(...items: Item[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of items) tar.entry(header, content ?? '');
  tar.finalize();
  return buffer(tar);
}

async function* stream(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

const mtime = new Date(1_700_000_000_000);

describe('scanLayer()', () => {
  test('scanLayer() tells digests, sizes and every entry of a gzip layer', async () => {
    const tar = await archive(
      { name: 'etc/', type: 'directory', mode: 0o755, mtime },
      { name: './etc/passwd', content: 'root:x:0:0::/root:/bin/sh\n', mode: 0o644, uid: 1, gid: 2, mtime },
      { name: 'bin/su', content: 'elf', mode: 0o4755, mtime },
      { name: 'bin/sh', type: 'symlink', linkname: '../usr/bin/dash', mtime },
      { name: 'bin/su2', type: 'link', linkname: 'bin/su', mtime },
      { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666, mtime },
      { name: 'run/pipe', type: 'fifo', mtime },
      { name: 'bin/ping', content: 'x', pax: { 'SCHILY.xattr.security.capability': 'cap' }, mtime },
    );
    const blob = gzipSync(tar);

    const scan = await scanLayer(stream(blob));

    expect(scan).toMatchObject({
      digest: digestOf(blob),
      size: blob.length,
      diffId: digestOf(tar),
      uncompressedSize: tar.length,
      compression: 'gzip',
      severalMembers: false,
      trailingBytes: 0,
      anomalies: [],
    });
    expect(scan.entries.map(plain)).toEqual([
      { path: '/etc', type: 'directory', mode: 0o755 },
      {
        path: '/etc/passwd',
        type: 'file',
        mode: 0o644,
        uid: 1,
        gid: 2,
        size: 26,
        digest: digestOf('root:x:0:0::/root:/bin/sh\n'),
      },
      { path: '/bin/su', type: 'file', mode: 0o4755, size: 3, digest: digestOf('elf') },
      { path: '/bin/sh', type: 'symlink', mode: 0o644, linkTarget: '../usr/bin/dash' },
      { path: '/bin/su2', type: 'hardlink', mode: 0o644, linkTarget: '/bin/su' },
      { path: '/dev/null', type: 'character-device', mode: 0o666, device: { major: 1, minor: 3 } },
      { path: '/run/pipe', type: 'fifo', mode: 0o644 },
      {
        path: '/bin/ping',
        type: 'file',
        mode: 0o644,
        size: 1,
        digest: digestOf('x'),
        xattrs: { 'security.capability': Buffer.from('cap').toString('base64') },
      },
    ]);
    expect(scan.entries.every((entry) => entry.mtime === 1_700_000_000)).toBe(true);
  });

  test('scanLayer() reads whiteouts as marks on the layers below', async () => {
    const tar = await archive(
      { name: 'var/.wh.cache' },
      { name: 'srv/.wh..wh..opq' },
      { name: '.wh..wh..opq' },
      { name: '.wh..wh.aufs' },
      { name: '.wh.tmp' },
    );
    const { entries } = await scanLayer(stream(tar));
    expect(entries.map(({ type, path }) => `${type} ${path}`)).toEqual([
      'whiteout /var/cache',
      'opaque /srv',
      'opaque /',
      'whiteout /tmp',
    ]);
  });

  test('scanLayer() gives the same entries whatever the compression and the chunk size', async () => {
    const content = Buffer.alloc(300_000, 'imagevet');
    const tar = await archive({ name: 'a', content }, { name: 'b', content: 'b' }, { name: 'empty' });
    const plainScan = await scanLayer(stream(tar));
    for (const blob of [tar, gzipSync(tar), zstdCompressSync(tar)]) {
      for (const size of [1, 511, 700_000].filter((bytes) => bytes > 1 || blob.length < 10_000)) {
        const scan = await scanLayer(stream(blob, size));
        expect(scan.entries).toEqual(plainScan.entries);
        expect(scan.diffId).toBe(digestOf(tar));
      }
    }
  });

  test('S12: scanLayer() reads all gzip members and zstd frames', async () => {
    const tar = await archive({ name: 'a', content: 'a'.repeat(2000) }, { name: 'b', content: 'b' });
    const halves = [tar.subarray(0, 1000), tar.subarray(1000)];
    const index = Buffer.from('502a4d18030000000a0b0c', 'hex');
    const members = Buffer.concat(halves.map((half) => gzipSync(half)));
    const frames = Buffer.concat([index, ...halves.map((half) => zstdCompressSync(half)), index]);
    for (const blob of [members, frames]) {
      for (const size of [1, blob.length]) {
        const scan = await scanLayer(stream(blob, size));
        expect(scan.diffId).toBe(digestOf(tar));
        expect(scan.severalMembers).toBe(true);
        expect(scan.entries).toHaveLength(2);
      }
    }
  });

  test('S12: scanLayer() reports bytes after the archive and after the compressed stream', async () => {
    const tar = await archive({ name: 'a', content: 'a' });
    const tailed = await scanLayer(stream(gzipSync(Buffer.concat([tar, Buffer.from('tail')]))));
    expect(tailed.anomalies).toEqual([{ kind: 'data-after-archive', path: '/' }]);
    const padded = await scanLayer(stream(Buffer.concat([gzipSync(tar), Buffer.alloc(600_000)])));
    expect(padded.trailingBytes).toBe(600_000);
    expect(padded.anomalies).toEqual([{ kind: 'data-after-compression', path: '/' }]);
    const hidden = await scanLayer(stream(Buffer.concat([gzipSync(tar), Buffer.alloc(9), gzipSync('x')])));
    expect(hidden.trailingBytes).toBeGreaterThan(9);
  });

  test('scanLayer() refuses bytes that are not those the options name', async () => {
    const tar = await archive({ name: 'a', content: 'a' });
    const other = digestOf('other');
    await expect(scanLayer(stream(tar), { digest: other })).rejects.toMatchObject({
      name: 'RegistryError',
      code: 'DIGEST_MISMATCH',
      details: { expected: other, received: digestOf(tar) },
    });
    await expect(scanLayer(stream(gzipSync(tar)), { diffId: other })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: expect.stringContaining('uncompressed layer'),
    });
    const sha512 = digestOf(tar, 'sha512');
    await expect(scanLayer(stream(tar), { digest: sha512 })).resolves.toMatchObject({ digest: sha512 });
  });

  test('scanLayer() keeps the content asked for, within the limit', async () => {
    const tar = await archive(
      { name: 'a', content: 'first' },
      { name: 'b', content: 'second' },
      { name: 'c', content: 'third' },
      { name: 'd', content: '' },
    );
    const keepContent = ({ path }: LayerEntry) => (path === '/b' ? 3 : path !== '/a');
    const { entries } = await scanLayer(stream(tar, 100), { keepContent });
    const text = ({ content }: LayerEntry) => content && Buffer.from(content).toString();
    expect(entries.map(text)).toEqual([undefined, 'sec', 'third', '']);
    await expect(scanLayer(stream(tar), { keepContent, limits: { maxKeptBytes: 7 } })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('/c'),
    });
  });

  test('scanLayer() leaves out file digests when not asked for', async () => {
    const tar = await archive({ name: 'a', content: 'a' }, { name: 'empty' });
    const { entries } = await scanLayer(stream(tar), { hashFiles: false });
    expect(entries.map(({ digest }) => digest)).toEqual([undefined, undefined]);
  });

  test('scanLayer() rejects with the abort reason while the source is silent', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let closed = false;
    async function* silent(): AsyncGenerator<Uint8Array> {
      try {
        yield new Uint8Array(10);
        controller.abort(reason);
        await once(new EventTarget(), 'never', { signal: controller.signal });
      } finally {
        closed = true;
      }
    }
    await expect(scanLayer(silent(), { signal: controller.signal })).rejects.toBe(reason);
    expect(closed).toBe(true);
    await expect(scanLayer(stream(Buffer.alloc(0)), { signal: controller.signal })).rejects.toBe(reason);
  });

  test('scanLayer() passes on what the source throws and closes the source when it fails itself', async () => {
    const gone = new Error('connection lost');
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield gzipSync(Buffer.alloc(5000)).subarray(0, 20);
      throw gone;
    }
    await expect(scanLayer(broken())).rejects.toBe(gone);

    let closed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536, 'not a tar');
      } finally {
        closed = true;
      }
    }
    await expect(scanLayer(endless())).rejects.toMatchObject({ code: 'INVALID_LAYER' });
    expect(closed).toBe(true);
  });
});

/** Without what is absent or zero, and without the time. */
function plain(entry: LayerEntry): Partial<LayerEntry> {
  const facts = Object.entries(entry).filter(
    ([key, value]) => value !== undefined && value !== 0 && key !== 'mtime',
  );
  return Object.fromEntries(facts);
}
