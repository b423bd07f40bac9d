import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { pack } from 'tar-stream';
import type { ResolvedImage } from '../content/image.ts';
import { resolveImage } from '../content/image.ts';
import type { Fetcher, Pusher } from '../content/interfaces.ts';
import { blobOf } from '../content/read.ts';
import { type Digest, digestOf } from '../digest.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Annotations, Descriptor, HistoryEntry, ImageConfig } from '../oci/types.ts';
import type { ImageReference } from '../reference.ts';

/** One entry of a layer. */
export interface TestFile {
  /** Relative, `/`-separated; a directory ends in `/`. */
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** Permission bits; 0644 for files, 0755 for directories unless given. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970. @defaultValue 0 */
  readonly mtime?: number;
  readonly type?: 'file' | 'directory' | 'symlink' | 'link';
  readonly linkTarget?: string;
}

/** What an image of {@link pushTestImage} holds. */
export interface TestImage {
  /** Layers of its own, above those of `base`. */
  readonly layers: readonly (readonly TestFile[])[];
  readonly base?: ResolvedImage;
  /** Its own history entries; by default one `COPY` entry a layer. */
  readonly history?: readonly HistoryEntry[];
  readonly config?: Partial<ImageConfig>;
  readonly annotations?: Annotations;
}

const compress = promisify(gzip);

/** Makes an image with real layers, pushes it and reads it back. */
export async function pushTestImage(
  client: Fetcher & Pusher,
  reference: ImageReference,
  image: TestImage,
): Promise<ResolvedImage> {
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const files of image.layers) {
    const tar = await makeTar(files);
    const bytes = await compress(tar);
    const descriptor: Descriptor = {
      mediaType: MediaType.ociLayerGzip,
      digest: digestOf(bytes),
      size: bytes.byteLength,
    };
    await client.pushBlob(reference, blobOf(bytes, descriptor));
    layers.push(descriptor);
    diffIds.push(digestOf(tar));
  }
  const { base } = image;
  for (const layer of base?.layers ?? []) {
    await client.pushBlob(
      reference,
      { descriptor: layer, open: () => client.openBlob(base?.reference ?? reference, layer) },
      base === undefined ? {} : { mountFrom: base.reference },
    );
  }
  const config: ImageConfig = {
    created: '2018-01-03T20:28:52Z',
    architecture: base?.platform.architecture ?? 'amd64',
    os: base?.platform.os ?? 'linux',
    config: base?.execution ?? {},
    ...image.config,
    rootfs: { type: 'layers', diff_ids: [...(base?.diffIds ?? []), ...diffIds] },
    history: [...(base?.history ?? []), ...(image.history ?? layers.map(defaultHistory))],
  };
  const configBytes = Buffer.from(JSON.stringify(config));
  const configDescriptor: Descriptor = {
    mediaType: MediaType.ociConfig,
    digest: digestOf(configBytes),
    size: configBytes.byteLength,
  };
  await client.pushBlob(reference, blobOf(configBytes, configDescriptor));
  await client.pushManifest(reference, {
    mediaType: MediaType.ociManifest,
    bytes: Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MediaType.ociManifest,
        config: configDescriptor,
        layers: [...(base?.layers ?? []), ...layers],
        ...(image.annotations === undefined ? {} : { annotations: image.annotations }),
      }),
    ),
  });
  return resolveImage(reference, {
    source: client,
    platform: { os: config.os, architecture: config.architecture },
  });
}

/** Pushes an index over images that are already in the repository. */
export async function pushTestIndex(
  client: Pusher,
  reference: ImageReference,
  images: readonly ResolvedImage[],
): Promise<Descriptor> {
  const manifests = images.map(({ manifest, platform }) => ({ ...manifest, platform }));
  const document = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests };
  return client.pushManifest(reference, {
    mediaType: MediaType.ociIndex,
    bytes: Buffer.from(JSON.stringify(document)),
  });
}

/** A tar of the given entries, in their order, with fixed times and owners. */
export async function makeTar(files: readonly TestFile[]): Promise<Uint8Array> {
  const archive = pack();
  for (const file of files) {
    const type = file.type ?? (file.path.endsWith('/') ? 'directory' : 'file');
    const header = {
      name: file.path,
      type,
      mode: file.mode ?? (type === 'directory' ? 0o755 : 0o644),
      uid: file.uid ?? 0,
      gid: file.gid ?? 0,
      mtime: new Date((file.mtime ?? 0) * 1000),
      ...(file.linkTarget === undefined ? {} : { linkname: file.linkTarget }),
    };
    if (type === 'file') archive.entry(header, Buffer.from(file.content ?? ''));
    else archive.entry(header);
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

function defaultHistory(layer: Descriptor): HistoryEntry {
  const name = createHash('sha256').update(layer.digest).digest('hex').slice(0, 12);
  return {
    created: '2018-01-03T20:28:52Z',
    created_by: `COPY ${name} / # buildkit`,
    comment: 'buildkit.dockerfile.v0',
  };
}
