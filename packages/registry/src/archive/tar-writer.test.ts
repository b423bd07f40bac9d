import { Readable } from 'node:stream';
import fc from 'fast-check';
import { extract } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { type TarFile, writeTar } from './tar-writer.ts';

async function bytesOf(files: readonly TarFile[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(each(files))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function file(name: string, content: string | Uint8Array): TarFile {
  const bytes = Buffer.from(content);
  return { name, size: bytes.byteLength, content: [bytes] };
}

describe('writeTar()', () => {
  test('writes what another reader reads, whatever the sizes and names', async () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,60}(?:\/[a-z0-9]{1,150})?$/);
    const files = fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 1500 })), {
      selector: ([path]) => path,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(files, async (given) => {
        const archive = await bytesOf(given.map(([path, content]) => file(path, content)));
        expect(archive.byteLength % 512).toBe(0);
        const read: (readonly [string, string])[] = [];
        const parser = extract();
        Readable.from([archive]).pipe(parser);
        for await (const entry of parser) {
          const parts: Uint8Array[] = [];
          for await (const part of entry) parts.push(part as Uint8Array);
          read.push([entry.header.name, Buffer.concat(parts).toString('hex')]);
        }
        expect(read).toEqual(given.map(([path, content]) => [path, Buffer.from(content).toString('hex')]));
      }),
      { numRuns: 100 },
    );
  });

  test('writes sizes beyond eight gigabytes', async () => {
    const size = 9 * 2 ** 30;
    const { value } = await writeTar(each([{ name: 'large', size, content: [] }])).next();
    const parser = extract();
    const header = new Promise((resolve) => parser.on('entry', (found) => resolve(found)));
    parser.on('error', () => {});
    parser.write(value);
    expect(await header).toMatchObject({ name: 'large', size });
    parser.destroy();
  });

  test.each([
    ['shorter', 4],
    ['longer', 2],
  ])('refuses content that is %s than was said', async (_what, size) => {
    const content = [Buffer.from('abc')];
    await expect(bytesOf([{ name: 'a', size, content }])).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });
});
