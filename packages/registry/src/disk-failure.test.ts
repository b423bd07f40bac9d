// A disk that holds less than is written to it, and one that can only be read.
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { available, mountSmallDisk } from '../../../test/services.ts';
import { writeDockerArchive } from './archive/write-docker-archive.ts';
import { copyImage } from './content/copy.ts';
import type { ResolvedImage } from './content/image.ts';
import { diskFailure } from './disk-failure.ts';
import { extractImage } from './extract/extract-image.ts';
import { openOciLayout } from './layout/oci-layout.ts';
import { parseReference } from './reference.ts';
import { RegistryClient } from './remote/client.ts';
import { pushTestImage } from './testing/image.ts';
import { startRegistry, type TestRegistry } from './testing/registry.ts';

describe.skipIf(!available('root', 'mount'))('a disk of 4 MiB', () => {
  let disk: ReturnType<typeof mountSmallDisk>;
  let registry: TestRegistry;
  let client: RegistryClient;
  let image: ResolvedImage;
  beforeEach(async () => {
    disk = mountSmallDisk(4);
    registry = await startRegistry();
    client = new RegistryClient();
    const content = randomBytes(6 * 1024 * 1024).toString('base64');
    image = await pushTestImage(client, parseReference(`${registry.host}/big:1`), {
      layers: [[{ path: 'small', content: 'small' }], [{ path: 'big', content }]],
    });
  });
  afterEach(async () => {
    await Promise.all([client.close(), registry.close()]);
    disk.close();
  });

  test.each<[string, (to: string) => Promise<unknown>]>([
    ['extractImage()', (to) => extractImage(image, to, { source: client })],
    [
      'writeDockerArchive()',
      (to) => writeDockerArchive([{ source: client, reference: image.reference }], to),
    ],
  ])('ends %s with DISK_FAILED, and nothing stays', async (_name, work) => {
    await expect(work(join(disk.directory, 'to'))).rejects.toMatchObject({
      code: 'DISK_FAILED',
      message: expect.stringContaining('the disk is full'),
      details: { reason: 'ENOSPC' },
    });
    expect(await readdir(disk.directory)).toEqual([]);
  });

  test('ends a copy with DISK_FAILED; the layout holds whole blobs only, and the rest when there is room', async () => {
    const directory = join(disk.directory, 'layout');
    const layout = await openOciLayout(directory, { create: true });
    const copy = () =>
      copyImage(image.reference, image.reference, { source: client, destination: layout, concurrency: 1 });
    await expect(copy()).rejects.toMatchObject({
      code: 'DISK_FAILED',
      hint: expect.stringContaining('room'),
    });
    expect((await readdir(directory)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    const tags: string[] = [];
    for await (const tag of layout.tags()) tags.push(tag);
    expect(tags).toEqual([]);
  });
});

test('diskFailure() leaves other errors as they are', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  expect(diskFailure('x', reset)).toBe(reset);
  expect(diskFailure('x', undefined)).toBeUndefined();
  const strange = Object.assign(new Error('x'), { code: 'constructor' });
  expect(diskFailure('x', strange)).toBe(strange);
});
