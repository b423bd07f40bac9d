import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Fetcher, ReferrerLister } from '../content/interfaces.ts';
import { digestAlgorithm, digestHex } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { writeWhole } from '../layout/write-file.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor, Platform } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, isTag, withDefaultTag } from '../reference.ts';
import { ArchiveContent, type ContainedImage } from './archive-content.ts';
import { type TarFile, writeTar } from './tar-writer.ts';

/** An image to put into an archive. */
export interface ImageToArchive {
  readonly source: Fetcher & Partial<ReferrerLister>;
  readonly reference: ImageReference;
  /** The names it is loaded under. @defaultValue `reference`, unless that has no tag */
  readonly names?: readonly ImageReference[];
}

/** Options of {@link writeDockerArchive}. */
export interface WriteDockerArchiveOptions extends OperationOptions {
  /** Which image of an index is loaded by tools that know one image a name. @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /** Puts in whole indexes, for tools that read the archive as an OCI layout. @defaultValue false */
  readonly allPlatforms?: boolean;
  /** Puts in what refers to the images: signatures, attestations, SBOMs. @defaultValue true */
  readonly referrers?: boolean;
}

/** What {@link writeDockerArchive} wrote. */
export interface ArchiveReport {
  /** Every image with its names; the digest is the one it had, an index's with `allPlatforms`. */
  readonly images: readonly { readonly names: readonly string[]; readonly manifest: Descriptor }[];
  readonly referrers: readonly Descriptor[];
}

/**
 * Writes an archive that `docker load`, `podman load` and `skopeo copy docker-archive:` read, and that is an OCI layout
 * too, as Docker 25 and later save it: manifests keep their bytes and digests. Layers are stored as they are; those in
 * zstd, which Docker before 23 cannot load, are added uncompressed as well. The same images give the same bytes.
 *
 * A file appears at its place once it is whole. Of a stream, what was written before a failure is not taken back.
 *
 * @param destination - path of a file, which is replaced, or a stream, which is ended
 * @throws {@link RegistryError} `INVALID_REFERENCE` when two images have one name, `PLATFORM_NOT_FOUND`, and whatever
 * reading an image can end with.
 */
export async function writeDockerArchive(
  images: readonly ImageToArchive[],
  destination: string | Writable,
  options: WriteDockerArchiveOptions = {},
): Promise<ArchiveReport> {
  const { signal } = options;
  const content = new ArchiveContent(options);
  const roots = new Roots();
  for (const { source, reference, names } of images) {
    const found = await content.addImage(source, withDefaultTag(reference));
    roots.add(found, (names ?? (reference.digest === undefined ? [reference] : [])).map(withDefaultTag));
  }
  const chunks = writeTar(filesOf(content, roots.images));
  try {
    if (typeof destination === 'string') {
      await writeWhole(destination, chunks, { directory: dirname(destination), signal });
    } else await pipeline(chunks, destination, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  return {
    images: roots.images.map(({ names, root }) => ({ names: names.map(formatReference), manifest: root })),
    referrers: content.referrers,
  };
}

interface NamedImage extends ContainedImage {
  readonly names: ImageReference[];
}

/** The images, each once, with the names of all its occurrences. */
class Roots {
  readonly images: NamedImage[] = [];
  readonly #owners = new Map<string, NamedImage>();

  add(image: ContainedImage, names: readonly ImageReference[]): void {
    const known = this.images.find(({ root }) => root.digest === image.root.digest);
    const named = known ?? { ...image, names: [] };
    if (known === undefined) this.images.push(named);
    for (const { registry, repository, tag } of names) {
      const name = { registry, repository, ...(tag === undefined ? {} : { tag }) };
      if (tag === undefined) {
        throw new RegistryError(
          'INVALID_REFERENCE',
          `${formatReference(name)} has no tag to be loaded under`,
        );
      }
      const owner = this.#owners.get(formatReference(name));
      if (owner === named) continue;
      if (owner !== undefined) {
        throw new RegistryError('INVALID_REFERENCE', `${formatReference(name)} names two images`);
      }
      this.#owners.set(formatReference(name), named);
      named.names.push(name);
    }
  }
}

async function* filesOf(
  content: ArchiveContent,
  images: readonly NamedImage[],
): AsyncGenerator<TarFile, void, undefined> {
  yield jsonFile('oci-layout', { imageLayoutVersion: '1.0.0' });
  const manifests = [...images.flatMap(entriesOf), ...content.referrers.map(bare)];
  yield jsonFile('index.json', { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests });
  const list = images.map(({ config, layers, names }) => ({
    Config: pathOf(config),
    // podman takes a short name in an archive of several images for one of its own, below localhost.
    RepoTags: names.length === 0 ? null : names.map(formatReference),
    Layers: layers.map(pathOf),
  }));
  yield jsonFile('manifest.json', list);
  for await (const { descriptor, chunks } of content.blobs()) {
    yield { name: pathOf(descriptor), size: descriptor.size, content: chunks };
  }
}

/** An image is listed once for each of its names. @see containerd, `io.containerd.image.name` */
function entriesOf({ root, names }: NamedImage): readonly Descriptor[] {
  if (names.length === 0) return [bare(root)];
  return names.map((name) => ({
    ...bare(root),
    annotations: {
      'io.containerd.image.name': formatReference(name),
      ...(isTag(name.tag ?? '') ? { 'org.opencontainers.image.ref.name': String(name.tag) } : {}),
    },
  }));
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function pathOf({ digest }: Pick<Descriptor, 'digest'>): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function jsonFile(name: string, document: unknown): TarFile {
  const bytes = Buffer.from(JSON.stringify(document));
  return { name, size: bytes.byteLength, content: [bytes] };
}
