import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ResolvedImage, resolveImage } from '../content/image.ts';
import { openOciLayout } from '../layout/oci-layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { annotateImage } from './annotate-image.ts';
import { readDocument, writeDocument } from './document.ts';

const client = new RegistryClient();
const both = { source: client, destination: client };
let registry: TestRegistry;
let image: ResolvedImage;
const named = (name: string) => parseReference(`${registry.host}/${name}`);
beforeAll(async () => {
  registry = await startRegistry();
  image = await pushTestImage(client, named('app:1'), {
    layers: [[{ path: 'a', content: 'a' }]],
    annotations: { kept: 'yes', removed: 'yes', changed: 'before' },
  });
});
afterAll(async () => {
  await client.close();
  await registry.close();
});
const annotations = { added: 'new', removed: null, changed: 'after' };
const after = { kept: 'yes', changed: 'after', added: 'new' };

describe('annotateImage()', () => {
  test('moves the tag to a manifest that differs in its annotations only', async () => {
    const tagged = await client.tag(image.reference, 'moving');
    const report = await annotateImage(named('app:moving'), { ...both, annotations });
    expect(report.previous).toEqual(tagged);
    const found = await client.fetchManifest(named('app:moving'));
    expect(found.descriptor).toEqual(report.manifest);
    const before = await client.fetchManifest(image.reference);
    const parse = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString());
    expect(parse(found.bytes)).toEqual({ ...parse(before.bytes), annotations: after });
    expect(Object.keys(parse(found.bytes))).toEqual(Object.keys(parse(before.bytes)));
  });

  test('goes to another repository by mounting, and into a layout', async () => {
    const uploads = registry.requests.length;
    await annotateImage(image.reference, { ...both, annotations, target: named('other/app:1') });
    const put = registry.requests.slice(uploads).filter((line) => /^PUT .*\/blobs\//.test(line));
    expect(put).toEqual([]);
    expect((await resolveImage(named('other/app:1'), { source: client })).annotations).toEqual(after);
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-annotate-'));
    try {
      const destination = await openOciLayout(directory, { create: true });
      await annotateImage(image.reference, { source: client, destination, annotations });
      const read = await resolveImage(image.reference, { source: destination });
      expect(read).toMatchObject({ annotations: after, layers: image.layers, diffIds: image.diffIds });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('annotates an index, with its images', async () => {
    await pushTestIndex(client, named('app:index'), [image]);
    const target = named('index/app:1');
    await annotateImage(named('app:index'), { ...both, annotations: { added: 'new' }, target });
    const found = await client.fetchManifest(target);
    expect(found.kind === 'index' ? found.index.annotations : undefined).toEqual({ added: 'new' });
    expect((await resolveImage(target, { source: client })).manifest).toEqual(image.manifest);
  });

  test('makes Docker’s format OCI’s, which has annotations', async () => {
    const { layers, config } = image;
    const document = {
      schemaVersion: 2,
      mediaType: MediaType.dockerManifest,
      config: { ...config, mediaType: MediaType.dockerConfig },
      layers: layers.map((layer) => ({ ...layer, mediaType: MediaType.dockerLayerGzip })),
    };
    const bytes = Buffer.from(JSON.stringify(document));
    await client.pushManifest(named('app:docker'), { bytes, mediaType: MediaType.dockerManifest });
    await annotateImage(named('app:docker'), { ...both, annotations });
    const read = await resolveImage(named('app:docker'), { source: client });
    expect(read).toMatchObject({ config, layers, annotations: { added: 'new', changed: 'after' } });
    expect(read.manifest.mediaType).toBe(MediaType.ociManifest);
  });
});

describe('readDocument()', () => {
  test.each([
    '{"size":12345678901234567890,"b":1e400,"a":1.0,"z":-0,"list":[1.10]}',
    '{"__proto__":{"x":1},"constructor":null}',
  ])('keeps %s', (text) => {
    expect(Buffer.from(writeDocument(readDocument(Buffer.from(text)), 'text/plain').bytes).toString()).toBe(
      text,
    );
  });

  test('changes nothing, whatever the document', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (document) => {
        const text = JSON.stringify(document);
        const { bytes } = writeDocument(readDocument(Buffer.from(text)), 'text/plain');
        expect(Buffer.from(bytes).toString()).toBe(text);
      }),
    );
  });
});
