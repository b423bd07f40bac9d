import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { ImagevetError } from '../errors.ts';
import { mergeLayers } from './filesystem-view.ts';
import { scanLayer } from './scan-layer.ts';

interface Item {
  readonly header: Partial<Header> & { name: string };
  readonly content: string;
}

const name = fc.stringMatching(/^[a-zé💙 .%-]{1,40}$/u).filter((text) => !/^\.{1,2}$|^\.wh\./.test(text));
const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((names) => names.join('/'));
// tar-stream writes no larger ids.
const id = fc.nat(0o777777);
const common = {
  mode: fc.nat(0o7777),
  uid: id,
  gid: id,
  mtime: fc.nat(2 ** 31 - 1).map((s) => new Date(s * 1000)),
};
const xattrs = fc.dictionary(fc.stringMatching(/^[a-z.]{1,20}$/), fc.stringMatching(/^[ -~]{1,50}$/), {
  maxKeys: 2,
});

const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({
    header: fc.record({ name: path, type: fc.constant('file' as const), ...common, pax: xattrs.map(asPax) }),
    content: fc.string({ maxLength: 2000 }),
  }),
  fc.record({
    header: fc.record({
      name: path,
      type: fc.constantFrom('directory' as const, 'fifo' as const),
      ...common,
    }),
    content: fc.constant(''),
  }),
  fc.record({
    header: fc.record({
      name: path,
      type: fc.constantFrom('symlink' as const, 'link' as const),
      linkname: path,
      ...common,
    }),
    content: fc.constant(''),
  }),
);

describe('scanLayer()', () => {
  test('scanLayer() reads back what tar-stream writes, in any compression and chunks', async () => {
    const compress = fc.constantFrom((tar: Buffer) => tar, gzipSync, zstdCompressSync);
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { maxLength: 12 }),
        compress,
        fc.integer({ min: 7, max: 70_000 }),
        async (items, squeeze, size) => {
          const tar = await archive(items);
          const scan = await scanLayer(pieces(squeeze(tar), size));
          expect(scan.diffId).toBe(digestOf(tar));
          expect(scan.entries.map((entry) => ({ ...entry }))).toEqual(items.map(expected));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('scanLayer() answers or refuses altered archives, and never fails otherwise', async () => {
    const edit = fc.record({ at: fc.nat(), byte: fc.nat(255) });
    const cut = fc.option(fc.nat(), { nil: undefined });
    const compress = fc.constantFrom((tar: Buffer) => tar, gzipSync, zstdCompressSync);
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { minLength: 1, maxLength: 5 }),
        compress,
        fc.array(edit, { minLength: 1, maxLength: 6 }),
        cut,
        async (items, squeeze, edits, end) => {
          const blob = squeeze(await archive(items));
          // Early bytes hold the headers, so half of the edits go there.
          for (const { at, byte } of edits)
            blob[at % (at % 2 === 0 ? blob.length : Math.min(blob.length, 600))] = byte;
          await answersOrRefuses(end === undefined ? blob : blob.subarray(0, end % blob.length));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('scanLayer() answers or refuses altered headers whose checksum is right', async () => {
    const edit = fc.record({ at: fc.nat(511), bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { minLength: 1, maxLength: 3 }),
        fc.array(edit, { minLength: 1, maxLength: 3 }),
        async (items, edits) => {
          const tar = await archive(items);
          for (const { at, bytes } of edits) tar.set(bytes.subarray(0, 512 - at), at);
          tar.fill(' ', 148, 156);
          const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
          tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
          await answersOrRefuses(tar);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('scanLayer() answers or refuses any PAX records', async () => {
    const records = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .stringMatching(/^(?:[0-9]{1,3} [a-zA-Z.]{0,12}=[ -~]{0,20}\n){0,4}$/)
        .map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(records, async (body) => {
        const tar = await archive([
          { header: { name: 'x'.repeat(99) }, content: body.toString('latin1') },
          { header: { name: 'y' }, content: '' },
        ]);
        tar.write('x', 156);
        tar.fill(' ', 148, 156);
        const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
        tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
        await answersOrRefuses(tar);
      }),
      { numRuns: 1000 },
    );
  });
});

async function answersOrRefuses(blob: Uint8Array): Promise<void> {
  try {
    const scan = await scanLayer(pieces(blob, 4096));
    expect([...mergeLayers([scan, scan])].length).toBeGreaterThan(0);
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    expect(['INVALID_LAYER', 'UNSUPPORTED', 'LIMIT_EXCEEDED']).toContain(error.code);
  }
}

async function archive(items: readonly Item[]): Promise<Buffer> {
  const tar = pack();
  for (const { header, content } of items) tar.entry(header, content);
  tar.finalize();
  return buffer(tar);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

function asPax(attributes: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`SCHILY.xattr.${key}`, value]));
}

function expected({ header, content }: Item): object {
  const { type = 'file' } = header;
  const attributes = Object.entries(header.pax ?? {}).map(([key, value]) => [
    key.slice('SCHILY.xattr.'.length),
    Buffer.from(value).toString('base64'),
  ]);
  return {
    path: `/${header.name}`,
    type: type === 'link' ? 'hardlink' : type,
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    size: Buffer.byteLength(content),
    mtime: header.mtime!.getTime() / 1000,
    digest: type === 'file' ? digestOf(content) : undefined,
    linkTarget: type === 'link' ? `/${header.linkname}` : header.linkname,
    xattrs: attributes.length > 0 ? Object.fromEntries(attributes) : undefined,
    device: undefined,
    content: undefined,
  };
}
