import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { ResolvedImage } from '../content/image.ts';
import { digestOf } from '../digest.ts';
import { scanImage } from '../layer/scan-image.ts';
import { scanLayer } from '../layer/scan-layer.ts';
import { parseReference } from '../reference.ts';
import { end, entry, pax, record } from '../testing/raw-tar.ts';
import { exportRootfs } from './export-rootfs.ts';

const run = promisify(execFile);

/** An image of given archives, and the source to read it from. */
function imageOf(archives: readonly Buffer[], compress: (archive: Buffer) => Buffer = (archive) => archive) {
  const blobs = archives.map(compress);
  const describe = (bytes: Buffer) => ({ mediaType: 'x/y', digest: digestOf(bytes), size: bytes.byteLength });
  const image: ResolvedImage = {
    reference: parseReference('app:1'),
    manifest: describe(Buffer.from('manifest')),
    config: describe(Buffer.from('config')),
    layers: blobs.map(describe),
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: archives.map((bytes) => digestOf(bytes)),
    history: [],
    annotations: {},
    labels: {},
    execution: {},
  };
  const source = {
    async *openBlob(_: unknown, { digest }: { readonly digest: string }): AsyncGenerator<Uint8Array> {
      yield blobs.find((bytes) => digestOf(bytes) === digest)!;
    },
  };
  return { image, source };
}

const long = `${'deep/'.repeat(40)}file`;
const lower = Buffer.concat([
  entry({ name: 'etc/', flag: '5', mode: '0000750\0' }),
  entry({ name: 'etc/old', body: 'gone' }),
  entry({ name: 'one', body: 'shared', mode: '0004755\0' }),
  entry({ name: 'two', flag: '1', linkName: 'one', mode: '0004755\0' }),
  entry({ name: 'three', flag: '1', linkName: 'one', mode: '0004755\0' }),
  entry({ name: 'null', flag: '3', major: '0000001\0' }),
  entry({ name: 'pipe', flag: '6' }),
  end,
]);
const upper = Buffer.concat([
  entry({ name: 'etc/.wh.old' }),
  entry({ name: '.wh.one' }),
  pax(record('path', long), record('uid', '4000000000'), record('mtime', '-1.5')),
  entry({ name: 'x', body: 'x'.repeat(2000) }),
  pax(record('linkpath', `/${long}`), record('SCHILY.xattr.user.note', 'hello')),
  entry({ name: 'link', flag: '2', linkName: 'x' }),
  pax(record('SCHILY.xattr.security.capability', 'cap')),
  entry({ name: 'capable', body: 'c' }),
  entry({ name: 'dangling', flag: '1', linkName: 'nowhere' }),
  end,
]);

async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
  return Buffer.concat(parts);
}

test('exportRootfs() writes one archive of what the layers make together', async () => {
  const { image, source } = imageOf([lower, upper]);
  const archive = await collected(exportRootfs(image, { source }));
  const { filesystem } = await scanImage(image, { source });
  const { entries, anomalies } = await scanLayer(once(archive));
  expect(anomalies).toEqual([]);
  const shown = [...filesystem].filter(({ type }) => type !== 'hardlink');
  expect(entries.map(({ path }) => path)).toEqual(shown.map(({ path }) => path));
  for (const [index, read] of entries.entries()) {
    const { mode, uid, gid, mtime, xattrs, device, type, size, digest, linkTarget } = shown[index]!;
    if (read.type === 'hardlink') expect(read).toMatchObject({ path: '/two', linkTarget: '/three', mode });
    else
      expect(read).toMatchObject({ mode, uid, gid, mtime, xattrs, device, type, size, digest, linkTarget });
  }
});

test('exportRootfs() writes the same bytes whatever the compression, and leaves nothing behind', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'imagevet-test-'));
  try {
    const digests = [];
    for (const compress of [(archive: Buffer) => archive, gzipSync]) {
      const { image, source } = imageOf([lower, upper], compress);
      digests.push(digestOf(await collected(exportRootfs(image, { source, temporaryDirectory: folder }))));
      // Somebody who stops reading.
      for await (const _ of exportRootfs(image, { source, temporaryDirectory: folder })) break;
    }
    expect(new Set(digests).size).toBe(1);
    const { image, source } = imageOf([lower, upper.subarray(0, -2000)]);
    const broken = collected(exportRootfs(image, { source, temporaryDirectory: folder }));
    await expect(broken).rejects.toMatchObject({ code: 'INVALID_LAYER', details: { layer: 1 } });
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('exportRootfs() writes what tar reads', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'imagevet-test-'));
  try {
    const { image, source } = imageOf([lower, upper]);
    await writeFile(join(folder, 'rootfs.tar'), await collected(exportRootfs(image, { source })));
    const { stdout } = await run('tar', ['--numeric-owner', '--utc', '-tvf', join(folder, 'rootfs.tar')]);
    expect(stdout).toMatch(new RegExp(`4000000000/0 +2000 1969-12-31 23:59 ${long}`));
    expect(stdout).toContain(`link -> /${long}`);
    expect(stdout).toMatch(/^hrwsr-xr-x .* two link to three$/m);
    expect(stdout).toMatch(/^crw-r--r-- .* 1,0 .* null$/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
