import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseReference } from '../reference.ts';
import { collect } from '../testing/collect.ts';
import { pushTestImage } from '../testing/image.ts';
import { openOciLayout } from './oci-layout.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-layout-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const fresh = () => mkdtempSync(join(directory, 'layout-'));
const anywhere = parseReference('anywhere/at/all');
const tagged = (tag: string) => ({ ...anywhere, tag });

describe('openOciLayout()', () => {
  test.each([
    ['with nothing', '', 'INVALID_MANIFEST'],
    ['with no JSON', '{', 'INVALID_MANIFEST'],
    ['with no object', '[]', 'INVALID_MANIFEST'],
    ['as of another version', '{"imageLayoutVersion":"2.0.0"}', 'INVALID_MANIFEST'],
    ['at length', 'x'.repeat(5000), 'LIMIT_EXCEEDED'],
  ])('refuses a layout marked %s', async (_how, marker, code) => {
    const path = fresh();
    await openOciLayout(path, { create: true });
    writeFileSync(join(path, 'oci-layout'), marker);
    await expect(openOciLayout(path)).rejects.toMatchObject({ name: 'RegistryError', code });
  });

  test('ends as DISK_FAILED where a layout cannot be made', async () => {
    const path = join(fresh(), 'file');
    writeFileSync(path, '');
    await expect(openOciLayout(path, { create: true })).rejects.toMatchObject({ code: 'DISK_FAILED' });
  });

  test('makes one layout, however many make it at once', async () => {
    const path = join(fresh(), 'new');
    const opened = await Promise.all(Array.from({ length: 8 }, () => openOciLayout(path, { create: true })));
    expect(await collect(opened[0]!.tags())).toEqual([]);
  });
});

describe('OciLayout', () => {
  test('keeps the tags of all who write it at once, in this process', async () => {
    const path = fresh();
    const tags = Array.from({ length: 8 }, (_, index) => `t${index}`);
    await Promise.all(
      tags.map(async (tag) => {
        const layout = await openOciLayout(path, { create: true });
        await pushTestImage(layout, tagged(tag), { layers: [[{ path: tag, content: tag }]] });
      }),
    );
    expect((await collect((await openOciLayout(path)).tags())).sort()).toEqual(tags);
    expect(readdirSync(path).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  test('keeps the tags of other processes', async () => {
    const path = fresh();
    const layout = await openOciLayout(path, { create: true });
    await pushTestImage(layout, tagged('mine'), { layers: [] });
    const program = `
      import { openOciLayout } from ${JSON.stringify(new URL('./oci-layout.ts', import.meta.url).href)};
      const layout = await openOciLayout(${JSON.stringify(path)});
      const at = { registry: 'a.corp', repository: 'a' };
      const { bytes, descriptor } = await layout.fetchManifest({ ...at, tag: 'mine' });
      for (let index = 0; index < 15; index += 1) {
        await layout.pushManifest({ ...at, tag: process.argv[1] + index }, { bytes, mediaType: descriptor.mediaType });
      }`;
    const run = (name: string) =>
      new Promise<number | null>((resolve) => {
        const options = ['--conditions=@imagevet/source', '--disable-warning=ExperimentalWarning'];
        const child = spawn(process.execPath, [...options, '--input-type=module', '-e', program, name], {
          stdio: 'inherit',
        });
        child.on('close', resolve);
      });
    expect(await Promise.all([run('a'), run('b'), run('c')])).toEqual([0, 0, 0]);
    expect(await collect(layout.tags())).toHaveLength(46);
  });

  test('goes on after a writer that died, and waits no longer than it is told', async () => {
    const path = fresh();
    const layout = await openOciLayout(path, { create: true });
    const lock = join(path, '.index.lock');
    writeFileSync(lock, '');
    const controller = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 20);
    const { bytes, descriptor } = await (async () => {
      const other = await openOciLayout(fresh(), { create: true });
      await pushTestImage(other, tagged('x'), { layers: [] });
      return other.fetchManifest(tagged('x'));
    })();
    const manifest = { bytes, mediaType: descriptor.mediaType };
    await expect(layout.pushManifest(tagged('x'), manifest, { signal: controller.signal })).rejects.toBe(
      reason,
    );
    // Nobody holds a lock for minutes: changing the index takes milliseconds.
    utimesSync(lock, new Date(0), new Date(0));
    await layout.pushManifest(tagged('x'), manifest);
    expect(await collect(layout.tags())).toEqual(['x']);
    expect(readdirSync(path)).not.toContain('.index.lock');
  });

  test('lists more manifests than an image may have', async () => {
    const path = fresh();
    const layout = await openOciLayout(path, { create: true });
    const { manifest } = await pushTestImage(layout, tagged('one'), { layers: [] });
    const manifests = Array.from({ length: 1500 }, (_, index) => ({
      ...manifest,
      annotations: { 'org.opencontainers.image.ref.name': `t${index}` },
    }));
    writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    expect((await layout.resolve(tagged('t1499'))).digest).toBe(manifest.digest);
  });
});
