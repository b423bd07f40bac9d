import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor, Platform } from '../oci/types.ts';
import { type ImageReference, parseReference } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { pushTestImage, pushTestIndex } from '../testing/image.ts';
import { startRegistry, type TestRegistry } from '../testing/registry.ts';
import { resolveImage } from './image.ts';
import { blobOf, readBlob } from './read.ts';

const LAYERS = [[{ path: 'etc/motd', content: 'hello' }]];
const ARM64 = { os: 'linux', architecture: 'arm64' };

describe('resolveImage()', () => {
  let registry: TestRegistry;
  const client = new RegistryClient();
  const named = (name: string): ImageReference => parseReference(`${registry.host}/${name}`);
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });

  async function push(reference: ImageReference, document: object): Promise<Descriptor> {
    const { mediaType } = document as { readonly mediaType: string };
    return client.pushManifest(reference, { bytes: Buffer.from(JSON.stringify(document)), mediaType });
  }
  const pushIndex = (reference: ImageReference, manifests: readonly Descriptor[]) =>
    push(reference, { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests });

  test('gives the image of the platform asked for, all by digest', async () => {
    const labels = { Labels: { maintainer: 'us' } };
    const amd64 = await pushTestImage(client, named('app:amd64'), {
      layers: LAYERS,
      config: { config: labels },
    });
    const config = { architecture: 'arm64' };
    const arm64 = await pushTestImage(client, named('app:arm64'), { layers: LAYERS, config });
    const index = await pushTestIndex(client, named('app:1'), [amd64, arm64]);
    const chosen = await resolveImage(named('app:1'), { source: client });
    expect(chosen).toEqual({ ...amd64, reference: named('app:1'), index });
    expect(chosen.labels).toEqual(labels.Labels);
    expect((await resolveImage(named('app:1'), { source: client, platform: ARM64 })).config).toEqual(
      arm64.config,
    );
    expect(JSON.parse(JSON.stringify(chosen))).toEqual(chosen);
    await expect(
      resolveImage(named('app:1'), { source: client, platform: { os: 'linux', architecture: 's390x' } }),
    ).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
      details: { offered: ['linux/amd64', 'linux/arm64'] },
    });
  });

  test('row 19: does not take an index at its word about a platform', async () => {
    const amd64 = await pushTestImage(client, named('liar:amd64'), { layers: LAYERS });
    await pushIndex(named('liar:1'), [{ ...amd64.manifest, platform: ARM64 }]);
    const asArm64 = resolveImage(named('liar:1'), { source: client, platform: ARM64 });
    await expect(asArm64).rejects.toMatchObject({ code: 'PLATFORM_NOT_FOUND' });
    await pushIndex(named('liar:2'), [{ ...amd64.manifest, size: 1, platform: amd64.platform }]);
    await expect(resolveImage(named('liar:2'), { source: client })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
    const mediaType = MediaType.dockerManifest;
    await pushIndex(named('liar:3'), [{ ...amd64.manifest, mediaType, platform: amd64.platform }]);
    await expect(resolveImage(named('liar:3'), { source: client })).rejects.toMatchObject({
      code: 'AMBIGUOUS_MANIFEST',
    });
  });

  test('row 19: does not take an index at its word about a variant', async () => {
    const v7 = await pushTestImage(client, named('variant:v7'), {
      layers: LAYERS,
      config: { architecture: 'arm', variant: 'v7' },
    });
    const v6 = { os: 'linux', architecture: 'arm', variant: 'v6' };
    await pushIndex(named('variant:1'), [{ ...v7.manifest, platform: v6 }]);
    await expect(resolveImage(named('variant:1'), { source: client, platform: v6 })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
      details: { reason: 'other-variant' },
    });
    // Many configs do not name one.
    const plain = await pushTestImage(client, named('variant:plain'), {
      layers: LAYERS,
      config: { architecture: 'arm' },
    });
    await pushIndex(named('variant:2'), [{ ...plain.manifest, platform: v6 }]);
    expect((await resolveImage(named('variant:2'), { source: client, platform: v6 })).manifest).toEqual(
      plain.manifest,
    );
  });

  test('reads entries of which the index does not say what they are for', async () => {
    const arm64 = await pushTestImage(client, named('silent:arm64'), {
      layers: LAYERS,
      config: { architecture: 'arm64' },
    });
    const amd64 = await pushTestImage(client, named('silent:amd64'), { layers: LAYERS });
    const empty = { mediaType: MediaType.ociEmpty, digest: digestOf('{}'), size: 2 };
    await client.pushBlob(named('silent'), blobOf(Buffer.from('{}'), empty));
    const note = { schemaVersion: 2, mediaType: MediaType.ociManifest, config: empty, layers: [empty] };
    const artifact = await push(named('silent:note'), { ...note, artifactType: 'text/note' });
    await pushIndex(named('silent:1'), [artifact, arm64.manifest, amd64.manifest]);
    const found = (platform: Platform) => resolveImage(named('silent:1'), { source: client, platform });
    expect((await found(ARM64)).manifest).toEqual(arm64.manifest);
    expect((await found(amd64.platform)).manifest).toEqual(amd64.manifest);
    await expect(found({ os: 'linux', architecture: 's390x' })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
    });
    // What is named comes first, and an index in an index need not be named either.
    const inner = await pushIndex(named('silent:2'), [{ ...arm64.manifest, platform: ARM64 }]);
    await pushIndex(named('silent:3'), [artifact, inner]);
    expect((await resolveImage(named('silent:3'), { source: client, platform: ARM64 })).manifest).toEqual(
      arm64.manifest,
    );
    await pushIndex(
      named('silent:4'),
      Array.from({ length: 40 }, () => artifact),
    );
    const before = registry.requests.length;
    await expect(resolveImage(named('silent:4'), { source: client })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
    });
    expect(registry.requests.length - before).toBeLessThan(20);
  });

  test('row 18: follows indexes of indexes, to a bound', async () => {
    const image = await pushTestImage(client, named('deep:image'), { layers: LAYERS });
    let current: Descriptor = { ...image.manifest, platform: image.platform };
    for (let depth = 1; depth <= 5; depth += 1) {
      const index = await pushIndex(named(`deep:${depth}`), [current]);
      current = { ...index, platform: image.platform };
    }
    expect((await resolveImage(named('deep:3'), { source: client })).manifest).toEqual(image.manifest);
    await expect(resolveImage(named('deep:5'), { source: client })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  test('refuses an artifact, a config that does not fit, and one that is too large', async () => {
    const empty = { mediaType: MediaType.ociEmpty, digest: digestOf('{}'), size: 2 };
    const artifact = { schemaVersion: 2, mediaType: MediaType.ociManifest, config: empty, layers: [empty] };
    await client.pushBlob(named('odd'), blobOf(Buffer.from('{}'), empty));
    await push(named('odd:artifact'), { ...artifact, artifactType: 'text/note' });
    await expect(resolveImage(named('odd:artifact'), { source: client })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
    const image = await pushTestImage(client, named('odd:image'), { layers: LAYERS });
    await push(named('odd:layers'), {
      ...artifact,
      config: image.config,
      layers: [...image.layers, ...image.layers],
    });
    await expect(resolveImage(named('odd:layers'), { source: client })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    });
    await push(named('odd:huge'), { ...artifact, config: { ...image.config, size: 2 ** 40 }, layers: [] });
    await expect(resolveImage(named('odd:huge'), { source: client })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  test('shares layers with a base image', async () => {
    const base = await pushTestImage(client, named('base:1'), { layers: LAYERS });
    const child = await pushTestImage(client, named('child:1'), {
      base,
      layers: [[{ path: 'x', content: 'x' }]],
    });
    expect(child.diffIds.slice(0, 1)).toEqual(base.diffIds);
    expect(child.layers.slice(0, 1)).toEqual(base.layers);
    expect(child.history.length).toBe(2);
  });

  test('keeps the sha512 it was asked by', async () => {
    const bytes = Buffer.from('in sha512');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes, 'sha512'), size: bytes.byteLength };
    await client.pushBlob(named('wide'), blobOf(bytes, descriptor));
    expect(await readBlob(client, named('wide'), descriptor)).toEqual(bytes);
    const image = await pushTestImage(client, named('wide:1'), { layers: LAYERS });
    const { bytes: manifest } = await client.fetchManifest(named('wide:1'));
    const digest = digestOf(manifest, 'sha512');
    const pinned = { ...named('wide'), digest };
    await client.pushManifest(pinned, { bytes: manifest, mediaType: image.manifest.mediaType });
    expect((await client.fetchManifest(pinned)).descriptor.digest).toBe(digest);
  });
});

test('readBlob() reads an empty blob', async () => {
  await using registry = await startRegistry();
  await using client = new RegistryClient();
  const descriptor = { mediaType: 'text/plain', digest: digestOf(''), size: 0 };
  const repository = parseReference(`${registry.host}/app`);
  expect(await client.pushBlob(repository, blobOf(new Uint8Array(), descriptor))).toBe('uploaded');
  expect((await readBlob(client, repository, descriptor)).byteLength).toBe(0);
});
