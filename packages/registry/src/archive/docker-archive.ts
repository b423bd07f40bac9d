import type { Fetcher, TagLister } from '../content/interfaces.ts';
import { digestMismatch, verified } from '../content/verify.ts';
import { type Digest, Digester, digestAlgorithm, digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { streamFile } from '../layout/files.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import { isObject } from '../oci/strict-json.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, parseReference, type Repository } from '../reference.ts';
import { indexTar, type TarIndex, type TarPlace } from './tar-index.ts';

/** One image of `manifest.json`. */
interface ArchivedImage {
  readonly names: readonly ImageReference[];
  readonly manifest: VerifiedManifest;
}

const MAX_IMAGES = 256;

/**
 * Opens what `docker save` wrote, uncompressed, for reading: images by the names they were saved under, or by the digest
 * {@link DockerArchive.images} gives. An archive holds no registry manifest; the one given here is made from what the
 * archive holds, so its digest differs from the registry's, while image id and diffIDs are the same.
 *
 * @throws {@link RegistryError} `INVALID_LAYER`, `INVALID_MANIFEST`, `INVALID_CONFIG`, `LIMIT_EXCEEDED`
 */
export async function openDockerArchive(
  path: string,
  options: OperationOptions = {},
): Promise<DockerArchive> {
  const files = await indexTar(path, options);
  const list: unknown = parseJson(await readPlace(path, placeOf(files, 'manifest.json'), MAX_MANIFEST_BYTES));
  if (!Array.isArray(list) || list.length > MAX_IMAGES)
    throw malformed(path, 'manifest.json is not a list of images');
  const blobs = new Map<Digest, TarPlace>();
  const images: ArchivedImage[] = [];
  for (const item of list) images.push(await readImage(path, files, item, blobs, options));
  return new DockerArchive(path, images, blobs);
}

/** The images of one archive. Made by {@link openDockerArchive}. */
export class DockerArchive implements Fetcher, TagLister {
  readonly path: string;
  readonly #images: readonly ArchivedImage[];
  readonly #blobs: ReadonlyMap<Digest, TarPlace>;

  /** @internal */
  constructor(path: string, images: readonly ArchivedImage[], blobs: ReadonlyMap<Digest, TarPlace>) {
    this.path = path;
    this.#images = images;
    this.#blobs = blobs;
  }

  /** What the archive holds: every image, with the names it was saved under. */
  get images(): readonly { readonly names: readonly ImageReference[]; readonly manifest: Descriptor }[] {
    return this.#images.map(({ names, manifest }) => ({ names, manifest: manifest.descriptor }));
  }

  async resolve(reference: ImageReference, options: OperationOptions = {}): Promise<Descriptor> {
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: ImageReference, options: OperationOptions = {}): Promise<VerifiedManifest> {
    options.signal?.throwIfAborted();
    const { digest, registry, repository, tag = 'latest' } = reference;
    const wanted = formatReference({ registry, repository, tag });
    const image = this.#images.find(({ names, manifest }) =>
      digest === undefined
        ? names.some((name) => formatReference(name) === wanted)
        : manifest.descriptor.digest === digest,
    );
    if (image !== undefined) return image.manifest;
    throw new RegistryError('NOT_FOUND', `${this.path} does not hold ${formatReference(reference)}`, {
      hint: `It holds ${this.#images
        .flatMap(({ names }) => names.map(formatReference))
        .slice(0, 20)
        .join(', ')}.`,
    });
  }

  openBlob(
    _repository: Repository,
    descriptor: Descriptor,
    options: OperationOptions = {},
  ): AsyncIterable<Uint8Array> {
    const place = this.#blobs.get(descriptor.digest);
    if (place === undefined)
      throw new RegistryError('NOT_FOUND', `${this.path} does not hold ${descriptor.digest}`);
    const subject = `${this.path}@${descriptor.digest}`;
    return verified(streamPlace(this.path, place, options), descriptor, subject);
  }

  async *tags(
    repository: Repository,
    options: OperationOptions = {},
  ): AsyncGenerator<string, void, undefined> {
    options.signal?.throwIfAborted();
    for (const { names } of this.#images) {
      for (const { registry, repository: name, tag } of names) {
        if (registry === repository.registry && name === repository.repository && tag !== undefined)
          yield tag;
      }
    }
  }
}

async function readImage(
  path: string,
  files: TarIndex,
  item: unknown,
  blobs: Map<Digest, TarPlace>,
  options: OperationOptions,
): Promise<ArchivedImage> {
  if (!isObject(item) || typeof item.Config !== 'string' || !isTexts(item.Layers)) {
    throw malformed(path, 'an image names no Config or Layers');
  }
  const configPlace = placeOf(files, item.Config);
  const bytes = await readPlace(path, configPlace, MAX_CONFIG_BYTES);
  const { rootfs } = parseImageConfig(bytes);
  if (rootfs.diff_ids.length !== item.Layers.length) {
    throw malformed(path, `${item.Layers.length} layers but ${rootfs.diff_ids.length} diffIDs`);
  }
  const config = { mediaType: MediaType.dockerConfig, digest: digestOf(bytes), size: bytes.byteLength };
  blobs.set(config.digest, configPlace);
  const layers: Descriptor[] = [];
  for (const [index, name] of item.Layers.entries()) {
    const place = placeOf(files, name);
    const layer = await describeLayer(path, place, rootfs.diff_ids[index] as Digest, options);
    blobs.set(layer.digest, place);
    layers.push(layer);
  }
  const mediaType = MediaType.dockerManifest;
  const document = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  const names = isTexts(item.RepoTags) ? item.RepoTags.map((name) => parseReference(name)) : [];
  return { names, manifest: parseManifest(document, { contentType: mediaType }) };
}

/** A layer is a plain tar, whose digest is its diffID, or it is compressed and has one of its own. */
async function describeLayer(
  path: string,
  place: TarPlace,
  diffId: Digest,
  options: OperationOptions,
): Promise<Descriptor> {
  const digester = new Digester(digestAlgorithm(diffId));
  let head: Uint8Array = new Uint8Array();
  for await (const chunk of streamPlace(path, place, options)) {
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
  if (compressed === undefined && digest !== diffId) throw digestMismatch(`${path}: layer`, diffId, digest);
  return { mediaType: compressed ?? MediaType.dockerLayer, digest, size: place.size };
}

async function readPlace(path: string, place: TarPlace, maxBytes: number): Promise<Uint8Array> {
  if (place.size > maxBytes)
    throw new RegistryError('LIMIT_EXCEEDED', `${path}: ${place.size} bytes, more than ${maxBytes}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamPlace(path, place, {})) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* streamPlace(
  path: string,
  { offset, size }: TarPlace,
  { signal }: OperationOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (size > 0) yield* streamFile(path, { signal, start: offset, end: offset + size - 1 });
}

function placeOf(files: TarIndex, name: string): TarPlace {
  const place = files.get(name);
  if (place === undefined)
    throw new RegistryError(
      'INVALID_LAYER',
      `the archive does not hold ${JSON.stringify(name.slice(0, 160))}`,
    );
  return place;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new RegistryError('INVALID_MANIFEST', 'manifest.json of the archive is not JSON', { cause: error });
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function malformed(path: string, reason: string): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `${path}: ${reason}`);
}
