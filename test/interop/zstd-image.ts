import { zstdCompressSync } from 'node:zlib';
import {
  blobOf,
  digestOf,
  formatReference,
  type ImageReference,
  MediaType,
  type RegistryClient,
  type ResolvedImage,
  resolveImage,
} from '../../packages/registry/src/index.ts';
import { makeTar } from '../../packages/registry/src/testing/index.ts';

/** Pushes an image whose only layer is compressed with zstd. */
export async function pushZstd(client: RegistryClient, reference: ImageReference): Promise<ResolvedImage> {
  const tar = await makeTar([{ path: 'zstd', content: formatReference(reference) }]);
  const push = async (bytes: Uint8Array, mediaType: string) => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    await client.pushBlob(reference, blobOf(bytes, descriptor));
    return descriptor;
  };
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] };
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs }));
  const document = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: await push(config, MediaType.ociConfig),
    layers: [await push(zstdCompressSync(tar), MediaType.ociLayerZstd)],
  };
  await client.pushManifest(reference, {
    mediaType: MediaType.ociManifest,
    bytes: Buffer.from(JSON.stringify(document)),
  });
  return resolveImage(reference, { source: client });
}
