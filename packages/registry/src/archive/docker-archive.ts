import type { Fetcher, ReferrerLister, TagLister } from '../content/interfaces.ts';
import { referrersAmong } from '../content/referrers-among.ts';
import { verified } from '../content/verify.ts';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, type Repository } from '../reference.ts';
import { ArchiveFiles } from './archive-files.ts';
import { type ArchivedImages, readArchivedImages } from './archived-images.ts';
import { readArchivedManifest } from './archived-layout.ts';
import type { OpenArchiveOptions } from './inflate-archive.ts';

/**
 * Opens what `docker save`, `podman save`, `skopeo copy docker-archive:` or {@link writeDockerArchive} wrote: images by the
 * names they were saved under, or by the digest {@link DockerArchive.images} gives. An archive that is an OCI layout too,
 * as Docker 25 and later save it, keeps its manifests, indexes and referrers with their digests. An older one holds no
 * manifest; the one given here is made from what it holds, so its digest differs from the registry's, while image id
 * and diffIDs are the same. One in gzip or zstd is inflated into a temporary file until {@link DockerArchive.close}.
 *
 * @throws {@link RegistryError} `INVALID_LAYER`, `INVALID_MANIFEST`, `INVALID_CONFIG`, `LIMIT_EXCEEDED`;
 * `AMBIGUOUS_MANIFEST` when different tools would load different images under one name.
 */
export async function openDockerArchive(
  path: string,
  options: OpenArchiveOptions = {},
): Promise<DockerArchive> {
  const files = await ArchiveFiles.open(path, options);
  try {
    return new DockerArchive(files, await readArchivedImages(files, options));
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The images of one archive. Made by {@link openDockerArchive}. */
export class DockerArchive implements Fetcher, TagLister, ReferrerLister, AsyncDisposable {
  readonly path: string;
  readonly #files: ArchiveFiles;
  readonly #content: ArchivedImages;

  /** @internal */
  constructor(files: ArchiveFiles, content: ArchivedImages) {
    this.path = files.path;
    this.#files = files;
    this.#content = content;
  }

  /** What the archive holds: every image, with the names it was saved under. */
  get images(): readonly { readonly names: readonly ImageReference[]; readonly manifest: Descriptor }[] {
    return this.#content.images.map(({ names, root: { mediaType, digest, size } }) => ({
      names,
      manifest: { mediaType, digest, size },
    }));
  }

  async resolve(reference: ImageReference, options: OperationOptions = {}): Promise<Descriptor> {
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: ImageReference, options: OperationOptions = {}): Promise<VerifiedManifest> {
    options.signal?.throwIfAborted();
    const { registry, repository, tag = 'latest' } = reference;
    const wanted = formatReference({ registry, repository, tag });
    const image = this.#content.images.find(({ names, root }) =>
      reference.digest === undefined
        ? names.some((name) => formatReference(name) === wanted)
        : root.digest === reference.digest,
    );
    if (image?.made !== undefined) return image.made;
    const digest = image?.root.digest ?? reference.digest;
    const found = digest && (await readArchivedManifest(this.#files, digest, options));
    if (found) return found;
    const held = this.#content.images.flatMap(({ names }) => names.map(formatReference));
    throw new RegistryError('NOT_FOUND', `${this.path} does not hold ${formatReference(reference)}`, {
      hint: `It holds ${held.slice(0, 20).join(', ')}.`,
    });
  }

  openBlob(
    _repository: Repository,
    descriptor: Descriptor,
    options: OperationOptions = {},
  ): AsyncIterable<Uint8Array> {
    const subject = `${this.path}@${descriptor.digest}`;
    return verified(this.#stream(descriptor.digest, options), descriptor, subject);
  }

  async *tags(
    repository: Repository,
    options: OperationOptions = {},
  ): AsyncGenerator<string, void, undefined> {
    options.signal?.throwIfAborted();
    for (const { names } of this.#content.images) {
      for (const { registry, repository: name, tag } of names) {
        if (registry === repository.registry && name === repository.repository && tag !== undefined)
          yield tag;
      }
    }
  }

  referrers(
    repository: Repository,
    subject: Digest,
    options: OperationOptions & { readonly artifactType?: string } = {},
  ): AsyncIterable<Descriptor> {
    return referrersAmong(this.#content.roots, { source: this, repository, subject }, options);
  }

  /** Removes what was inflated of a compressed archive; a plain one needs no closing. */
  close(): Promise<void> {
    return this.#files.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#stream(digest: Digest, options: OperationOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const place = this.#content.blobs.get(digest) ?? this.#files.placeOfBlob(digest);
    if (place === undefined) throw new RegistryError('NOT_FOUND', `${this.path} does not hold ${digest}`);
    yield* this.#files.stream(place, options);
  }
}
