import {
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ResolvedImage } from '../content/image.ts';
import { blobOf } from '../content/read.ts';
import { type Digest, digestHex, digestOf } from '../digest.ts';
import { parseReference } from '../reference.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { checkOciLayout } from './check-layout.ts';
import { type OciLayout, openOciLayout } from './oci-layout.ts';
import { pruneOciLayout } from './prune-layout.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-check-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const name = parseReference('app:1');
const stray = Buffer.from('stray');
const strayBlob = { mediaType: 'text/plain', digest: digestOf(stray), size: stray.byteLength };

/** An index of one image, and a blob nothing names. */
async function filled(): Promise<{ readonly layout: OciLayout; readonly image: ResolvedImage }> {
  const layout = await openOciLayout(mkdtempSync(join(directory, 'layout-')), { create: true });
  const image = await pushTestImage(
    layout,
    { ...name, tag: 'amd64' },
    { layers: [[{ path: 'a', content: 'a' }]] },
  );
  await pushTestIndex(layout, name, [image]);
  await layout.pushBlob(name, blobOf(stray, strayBlob));
  return { layout, image };
}

const pathOf = (layout: OciLayout, digest: Digest) =>
  join(layout.directory, 'blobs', 'sha256', digestHex(digest));

describe('checkOciLayout()', () => {
  test('finds nothing wrong where nothing is', async () => {
    const { layout } = await filled();
    const report = await checkOciLayout(layout);
    expect(report).toMatchObject({ problems: [], blobs: 4, unreferenced: [strayBlob.digest] });
    expect(report.bytes).toBeGreaterThan(0);
  });

  test('finds what is missing, altered, cut short and foreign', async () => {
    const { layout, image } = await filled();
    rmSync(pathOf(layout, image.config.digest));
    const layer = image.layers[0]!;
    writeFileSync(pathOf(layout, layer.digest), 'x'.repeat(layer.size));
    writeFileSync(join(layout.directory, 'blobs', 'sha256', 'noise'), '');
    symlinkSync('/etc/hostname', join(layout.directory, 'blobs', 'sha256', digestHex(digestOf('link'))));
    const { problems } = await checkOciLayout(layout);
    const by = { namedBy: image.manifest.digest };
    expect(problems).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'missing', subject: image.config.digest, ...by }),
        expect.objectContaining({ kind: 'damaged', subject: layer.digest, ...by }),
        expect.objectContaining({ kind: 'unexpected', subject: join('blobs', 'sha256', 'noise') }),
        expect.objectContaining({
          kind: 'unexpected',
          subject: expect.stringContaining(digestHex(digestOf('link'))),
        }),
      ]),
    );
    expect(problems).toHaveLength(4);
    truncateSync(pathOf(layout, image.manifest.digest), 5);
    const cut = (await checkOciLayout(layout)).problems.filter(({ kind }) => kind === 'damaged');
    expect(cut.map(({ subject }) => subject)).toEqual([image.manifest.digest]);
  });

  test('stops when told to', async () => {
    const { layout } = await filled();
    const reason = new Error('enough');
    await expect(checkOciLayout(layout, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('pruneOciLayout()', () => {
  test('removes what nothing names once it is old, and what was left half-written', async () => {
    const { layout, image } = await filled();
    const partial = join(layout.directory, '.partial-left');
    writeFileSync(partial, 'half');
    expect(await pruneOciLayout(layout)).toEqual({ removed: [], freedBytes: 0, spared: [strayBlob.digest] });
    const later = () => Date.now() + 3_600_001;
    const expected = { removed: [strayBlob.digest], freedBytes: stray.byteLength, spared: [] };
    expect(await pruneOciLayout(layout, { now: later, dryRun: true })).toEqual(expected);
    expect(readdirSync(layout.directory)).toContain('.partial-left');
    expect(await pruneOciLayout(layout, { now: later })).toEqual(expected);
    expect(readdirSync(layout.directory)).not.toContain('.partial-left');
    expect(await checkOciLayout(layout)).toMatchObject({ problems: [], blobs: 4, unreferenced: [] });
    expect((await layout.resolve({ ...name, tag: 'amd64' })).digest).toBe(image.manifest.digest);
  });

  test('spares an old blob that a copy has just counted on', async () => {
    const { layout } = await filled();
    utimesSync(pathOf(layout, strayBlob.digest), 0, 0);
    expect(await layout.pushBlob(name, blobOf(stray, strayBlob))).toBe('exists');
    expect((await pruneOciLayout(layout)).spared).toEqual([strayBlob.digest]);
  });

  test('removes nothing when it cannot tell', async () => {
    const { layout, image } = await filled();
    truncateSync(pathOf(layout, image.manifest.digest), 5);
    const pruned = pruneOciLayout(layout, { minAgeMs: 0 });
    await expect(pruned).rejects.toMatchObject({ code: 'INVALID_MANIFEST' });
    expect((await checkOciLayout(layout)).unreferenced).toContain(strayBlob.digest);
  });
});
