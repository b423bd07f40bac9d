import { digestMismatch } from '../content/verify.ts';
import { type Digest, Digester, digestAlgorithm, digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import { isObject } from '../oci/strict-json.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, parseReference, withDefaultTag } from '../reference.ts';
import { type ArchiveFiles, blobPath } from './archive-files.ts';
import { ArchivedLayout, type LayoutRoot, twoImages } from './archived-layout.ts';
import type { TarPlace } from './tar-index.ts';

/** One image of an archive. */
export interface ArchivedImage {
  readonly names: readonly ImageReference[];
  /** What its names mean: its entry in `index.json`, or a manifest made from `manifest.json`. */
  readonly root: Descriptor;
  /** The manifest that was made, where the archive holds none. */
  readonly made?: VerifiedManifest;
}

/** The images of an archive, and where the blobs of made manifests are. */
export interface ArchivedImages {
  readonly images: readonly ArchivedImage[];
  readonly blobs: ReadonlyMap<Digest, TarPlace>;
  /** Entries of `index.json`: what may refer to something. */
  readonly roots: readonly Descriptor[];
}

const MAX_IMAGES = 256;

/**
 * Reads which images an archive holds, by both of its tables of contents, and refuses one that means different images
 * to tools that read only the one or the other.
 *
 * @throws {@link RegistryError} `INVALID_LAYER`, `INVALID_MANIFEST`, `INVALID_CONFIG`, `AMBIGUOUS_MANIFEST`
 */
export async function readArchivedImages(
  files: ArchiveFiles,
  options: OperationOptions,
): Promise<ArchivedImages> {
  const { roots } = await ArchivedLayout.read(files, options);
  const list =
    roots.length > 0 && !files.has('manifest.json')
      ? []
      : await files.readList('manifest.json', MAX_MANIFEST_BYTES, options);
  if (list.length > MAX_IMAGES) throw malformed(files, `more than ${MAX_IMAGES} images`);
  const blobs = new Map<Digest, TarPlace>();
  const images: ArchivedImage[] = [];
  const seen = new Map<string, ArchivedImage>();
  const keep = (image: ArchivedImage) => {
    images.push(image);
    for (const name of image.names.map(formatReference)) {
      if (seen.has(name)) throw twoImages(files.path, name);
      seen.set(name, image);
    }
  };
  for (const item of list) keep(await readEntry(files, item, roots, blobs, options));
  const listed = new Set(images.map(({ root }) => root.digest));
  for (const { descriptor, name, images: below } of roots) {
    if (name === undefined) {
      const refers = below.some(({ manifest }) => manifest.subject !== undefined);
      if (listed.has(descriptor.digest) || refers) continue;
      keep({ names: [], root: descriptor });
    } else if (seen.get(formatReference(name))?.root.digest !== descriptor.digest) {
      keep({ names: [name], root: descriptor });
    }
    listed.add(descriptor.digest);
  }
  return { images, blobs, roots: roots.map(({ descriptor }) => descriptor) };
}

async function readEntry(
  files: ArchiveFiles,
  item: unknown,
  roots: readonly LayoutRoot[],
  blobs: Map<Digest, TarPlace>,
  options: OperationOptions,
): Promise<ArchivedImage> {
  if (!isObject(item) || typeof item.Config !== 'string' || !isTexts(item.Layers)) {
    throw malformed(files, 'an image names no Config or Layers');
  }
  const configPlace = files.placeOf(item.Config);
  const bytes = await files.read(configPlace, MAX_CONFIG_BYTES, options);
  const { diff_ids: diffIds } = parseImageConfig(bytes).rootfs;
  if (diffIds.length !== item.Layers.length) {
    throw malformed(files, `${item.Layers.length} layers but ${diffIds.length} diffIDs`);
  }
  const names = isTexts(item.RepoTags)
    ? item.RepoTags.map((name) => withDefaultTag(parseReference(name)))
    : [];
  const config = { mediaType: MediaType.dockerConfig, digest: digestOf(bytes), size: bytes.byteLength };
  const root = rootOf(roots, names, config.digest);
  if (root !== undefined) {
    const { manifest } = root.images.find((image) => image.manifest.config.digest === config.digest)!;
    for (const [index, name] of item.Layers.entries()) {
      if (name === blobPath(manifest.layers[index]?.digest ?? config.digest)) continue;
      const { digest } = await describeLayer(files, files.placeOf(name), diffIds[index]!, options);
      if (digest !== diffIds[index]) throw twoImages(files.path, names.map(formatReference).join(', '));
    }
    return { names, root: root.descriptor };
  }
  blobs.set(config.digest, configPlace);
  const layers: Descriptor[] = [];
  for (const [index, name] of item.Layers.entries()) {
    const place = files.placeOf(name);
    const layer = await describeLayer(files, place, diffIds[index]!, options);
    blobs.set(layer.digest, place);
    layers.push(layer);
  }
  const mediaType = MediaType.dockerManifest;
  const document = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  const made = parseManifest(document, { contentType: mediaType });
  for (const name of names) {
    const text = formatReference(name);
    if (roots.some((other) => other.name !== undefined && formatReference(other.name) === text)) {
      throw twoImages(files.path, text);
    }
  }
  return { names, root: made.descriptor, made };
}

/** The entry of `index.json` that holds the image with this config, by preference the one of its name. */
function rootOf(
  roots: readonly LayoutRoot[],
  names: readonly ImageReference[],
  config: Digest,
): LayoutRoot | undefined {
  const texts = new Set(names.map(formatReference));
  const holding = roots.filter(({ images }) =>
    images.some(({ manifest }) => manifest.config.digest === config),
  );
  return (
    holding.find(({ name }) => name !== undefined && texts.has(formatReference(name))) ??
    holding.find(({ name }) => name === undefined) ??
    holding[0]
  );
}

/** A layer is a plain tar, whose digest is its diffID, or it is compressed and has one of its own. */
async function describeLayer(
  files: ArchiveFiles,
  place: TarPlace,
  diffId: Digest,
  options: OperationOptions,
): Promise<Descriptor> {
  const digester = new Digester(digestAlgorithm(diffId));
  let head: Uint8Array = new Uint8Array();
  for await (const chunk of files.stream(place, options)) {
    if (head.byteLength === 0) head = chunk.subarray(0, 4);
    digester.update(chunk);
  }
  const digest = digester.digest();
  const magic = Buffer.from(head).toString('hex');
  const compressed = magic.startsWith('1f8b')
    ? MediaType.dockerLayerGzip
    : magic === '28b52ffd'
      ? MediaType.ociLayerZstd
      : undefined;
  if (compressed === undefined && digest !== diffId)
    throw digestMismatch(`${files.path}: layer`, diffId, digest);
  return { mediaType: compressed ?? MediaType.dockerLayer, digest, size: place.size };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function malformed(files: ArchiveFiles, reason: string): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `${files.path}: ${reason}`);
}
