import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestHex, digestOf } from '../digest.ts';
import { openOciLayout } from '../layout/oci-layout.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor } from '../oci/types.ts';
import { parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { collect } from '../testing/collect.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry } from '../testing/registry.ts';
import { copyImage } from './copy.ts';
import { resolveImage } from './image.ts';
import type { Fetcher, Pusher } from './interfaces.ts';
import { blobOf, readBlob } from './read.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-copy-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const freshLayout = () => openOciLayout(mkdtempSync(join(directory, 'layout-')), { create: true });

/** An index of two images with a referrer, a referrer of that, and a cosign signature. */
async function family(client: Fetcher & Pusher, registry: string) {
  const reference = parseReference(`${registry}/family:1`);
  const layers = [[{ path: 'shared', content: 'shared' }]];
  const amd64 = await pushTestImage(client, { ...reference, tag: 'amd64' }, { layers });
  const arm64 = await pushTestImage(
    client,
    { ...reference, tag: 'arm64' },
    { layers, config: { architecture: 'arm64' } },
  );
  const index = await pushTestIndex(client, reference, [amd64, arm64]);
  const sbom = await pushNote(client, reference.registry, index, 'sbom');
  const signature = await pushNote(client, reference.registry, sbom, 'signature of the sbom');
  const tag = `${index.digest.replace(':', '-')}.sig`;
  const cosign = await pushNote(client, reference.registry, undefined, 'cosign', tag);
  return { reference, index, sbom, signature, cosign, tag };
}

async function pushNote(
  client: Pusher,
  registry: string,
  subject: Descriptor | undefined,
  text: string,
  tag?: string,
): Promise<Descriptor> {
  const content = Buffer.from(text);
  const blob = { mediaType: 'text/plain', digest: digestOf(content), size: content.byteLength };
  const repository = { registry, repository: 'family' };
  await client.pushBlob(repository, blobOf(content, blob));
  const document = {
    ...{
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      artifactType: 'text/note',
      config: blob,
      layers: [blob],
    },
    ...(subject === undefined ? {} : { subject }),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const name = tag === undefined ? { digest: digestOf(bytes) } : { tag };
  return client.pushManifest({ ...repository, ...name }, { bytes, mediaType: MediaType.ociManifest });
}

describe('copyImage()', () => {
  test.each([true, false])(
    'brings everything along, by digest (referrers API at the target: %s)',
    async (referrers) => {
      await using from = await startRegistry();
      await using to = await startRegistry({ referrers });
      await using client = new RegistryClient();
      const { reference, index, sbom, signature, cosign, tag } = await family(client, from.host);
      const target = parseReference(`${to.host}/mirror/family:1`);
      const report = await copyImage(reference, target, { source: client, destination: client });
      expect(report.manifest).toEqual(index);
      expect(report.digestTags).toEqual([tag]);
      expect(report.referrers.map(({ digest }) => digest)).toEqual([sbom.digest, signature.digest]);
      expect((await client.resolve(target)).digest).toBe(index.digest);
      expect((await client.resolve({ ...target, tag })).digest).toBe(cosign.digest);
      const listed = async (subject: Descriptor) =>
        (await collect(client.referrers(target, subject.digest))).map(({ digest }) => digest);
      expect(await listed(index)).toEqual([sbom.digest]);
      expect(await listed(sbom)).toEqual([signature.digest]);
    },
  );

  test('mounts within a registry, and sends nothing twice', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const { reference } = await family(client, registry.host);
    const target = parseReference(`${registry.host}/again:1`);
    const options = { source: client, destination: client };
    const first = await copyImage(reference, target, options);
    expect(first.blobs).toMatchObject({ uploaded: 0 });
    expect(first.blobs.mounted).toBeGreaterThan(3);
    const second = await copyImage(reference, target, options);
    expect(second.blobs).toEqual({ exists: 0, mounted: 0, uploaded: 0 });
    expect(second.manifest).toEqual(first.manifest);
  });

  test('goes to an OCI layout and back', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const { reference, index, sbom } = await family(client, registry.host);
    const layout = await freshLayout();
    await copyImage(reference, reference, { source: client, destination: layout });
    expect(await collect(layout.tags())).toContain('1');
    expect((await collect(layout.referrers(reference, index.digest))).map(({ digest }) => digest)).toEqual([
      sbom.digest,
    ]);
    const back = parseReference(`${registry.host}/back:1`);
    const report = await copyImage(reference, back, { source: layout, destination: client });
    expect(report.manifest.digest).toBe(index.digest);
    expect(report.referrers.length).toBe(2);
    const platform = { os: 'linux', architecture: 'arm64' };
    const image = await resolveImage(back, { source: client, platform });
    expect(image.manifest).toEqual((await resolveImage(reference, { source: layout, platform })).manifest);
  });

  test('tells of bytes while it copies, and of nothing that is there already', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/big:1`);
    const content = randomBytes(5 * 2 ** 20);
    const image = await pushTestImage(client, reference, { layers: [[{ path: 'big', content }]] });
    const layout = await freshLayout();
    const copying = async () => {
      const told: number[] = [];
      await copyImage(reference, reference, {
        ...{ source: client, destination: layout },
        onProgress: (event) => {
          if (event.type !== 'blob-progress') return;
          expect(event.descriptor).toEqual(image.layers[0]);
          told.push(event.bytes);
        },
      });
      return told;
    };
    const told = await copying();
    expect(told.length).toBeGreaterThanOrEqual(3);
    expect(told).toEqual(told.toSorted((one, other) => one - other));
    expect(told.at(-1)).toBeLessThanOrEqual(image.layers[0]!.size);
    expect(told.at(-1)).toBeGreaterThan(image.layers[0]!.size - 2 * 2 ** 20);
    expect(
      digestOf(readFileSync(join(layout.directory, 'blobs', 'sha256', digestHex(image.layers[0]!.digest)))),
    ).toBe(image.layers[0]!.digest);
    expect(await copying()).toEqual([]);
  });

  test('stops when told to', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const { reference } = await family(client, registry.host);
    const reason = new Error('enough');
    const target = parseReference(`${registry.host}/never:1`);
    const options = { source: client, destination: client, signal: AbortSignal.abort(reason) };
    await expect(copyImage(reference, target, options)).rejects.toBe(reason);
  });

  test('has nothing under way any more when it fails', async () => {
    await using registry = await startRegistry();
    await using client = new RegistryClient();
    const reference = parseReference(`${registry.host}/app:1`);
    const layers = ['one', 'two', 'three'].map((path) => [{ path, content: path }]);
    const { layers: blobs } = await pushTestImage(client, reference, { layers });
    const underWay = new Set<string>();
    const destination: Pusher = {
      pushManifest: () => Promise.reject(new Error('never asked')),
      async pushBlob(_, { descriptor }, { signal } = {}) {
        if (descriptor.digest === blobs[0]?.digest) throw new Error('full');
        underWay.add(descriptor.digest);
        // Goes on for ever unless it is told to stop, and takes its time then.
        await new Promise((resolve) => signal?.addEventListener('abort', resolve, { once: true }));
        await new Promise((resolve) => setImmediate(resolve));
        underWay.delete(descriptor.digest);
        throw signal?.reason;
      },
    };
    await expect(copyImage(reference, reference, { source: client, destination })).rejects.toThrow('full');
    expect([...underWay]).toEqual([]);
  });
});

describe('OciLayout', () => {
  const content = Buffer.from('content');
  const descriptor = { mediaType: 'text/plain', digest: digestOf(content), size: content.byteLength };
  const anywhere = parseReference('anywhere/at/all');

  test('keeps nothing of a blob that is not what it says', async () => {
    const layout = await freshLayout();
    const lie = blobOf(Buffer.from('CONTENT'), descriptor);
    await expect(layout.pushBlob(anywhere, lie)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    await expect(readBlob(layout, anywhere, descriptor)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const { readdirSync } = await import('node:fs');
    expect(readdirSync(layout.directory).filter((name) => name.startsWith('.partial'))).toEqual([]);
  });

  test('finds out when a file was changed', async () => {
    const layout = await freshLayout();
    await layout.pushBlob(anywhere, blobOf(content, descriptor));
    expect(await readBlob(layout, anywhere, descriptor)).toEqual(content);
    writeFileSync(join(layout.directory, 'blobs', 'sha256', digestHex(descriptor.digest)), 'CONTENT');
    await expect(readBlob(layout, anywhere, descriptor)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  test('S14: follows no link out of its folder', async () => {
    const layout = await freshLayout();
    const secret = join(directory, 'secret');
    writeFileSync(secret, content);
    symlinkSync(secret, join(layout.directory, 'blobs', 'sha256', digestHex(descriptor.digest)));
    await expect(readBlob(layout, anywhere, descriptor)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
    await expect(layout.pushBlob(anywhere, blobOf(content, descriptor))).rejects.toMatchObject({
      code: 'EGRESS_REFUSED',
    });
    const linked = await freshLayout();
    rmSync(join(linked.directory, 'blobs'), { recursive: true });
    symlinkSync(directory, join(linked.directory, 'blobs'));
    await expect(openOciLayout(linked.directory)).rejects.toMatchObject({ code: 'EGRESS_REFUSED' });
  });

  test('survives tags written at the same time', async () => {
    const layout = await freshLayout();
    const tags = Array.from({ length: 8 }, (_, index) => `t${index}`);
    await Promise.all(
      tags.map((tag) =>
        pushTestImage(layout, { ...anywhere, tag }, { layers: [[{ path: tag, content: tag }]] }),
      ),
    );
    expect((await collect(layout.tags())).sort()).toEqual(tags);
    expect(JSON.parse(readFileSync(join(layout.directory, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
  });

  test('is refused when it is none', async () => {
    await expect(openOciLayout(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
