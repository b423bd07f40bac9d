import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { resolveImage } from '../content/image.ts';
import type { Fetcher, ReferrerLister } from '../content/interfaces.ts';
import { digestMismatch, verified } from '../content/verify.ts';
import { type Digest, Digester, digestAlgorithm } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { inflateLayer } from '../layer/inflate-layer.ts';
import { refuseSchema1 } from '../oci/schema1.ts';
import type { Descriptor, Platform, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, type Repository } from '../reference.ts';

/** An image inside an archive: as an OCI layout lists it, and as `manifest.json` does. */
export interface ContainedImage {
  readonly root: Descriptor;
  readonly config: Descriptor;
  /** What a tool that knows gzip and plain layers reads. */
  readonly layers: readonly Pick<Descriptor, 'digest'>[];
}

/** A file below `blobs/`. */
export interface ContainedBlob {
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>;
  readonly chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

type Source = Fetcher & Partial<ReferrerLister>;

interface ContentOptions extends OperationOptions {
  readonly platform?: Platform;
  readonly allPlatforms?: boolean;
  readonly referrers?: boolean;
}

const MAX_MANIFESTS = 4096;
const MAX_DEPTH = 8;

/** Gathers what belongs into an archive, each blob once, in the order in which it was met. */
export class ArchiveContent {
  readonly referrers: Descriptor[] = [];
  readonly #options: ContentOptions;
  readonly #manifests = new Map<Digest, VerifiedManifest>();
  readonly #blobs = new Map<Digest, { readonly descriptor: Descriptor; open(): AsyncIterable<Uint8Array> }>();
  /** Of layers in zstd: what the uncompressed form must hash to. */
  readonly #inflated = new Map<Digest, Digest>();

  constructor(options: ContentOptions) {
    this.#options = options;
  }

  async addImage(source: Source, reference: ImageReference): Promise<ContainedImage> {
    const { signal, platform, allPlatforms = false } = this.#options;
    const { registry, repository } = reference;
    const at = (digest: Digest) => ({ registry, repository, digest });
    const image = await resolveImage(reference, {
      ...{ source, signal },
      ...(platform === undefined ? {} : { platform }),
    });
    // By digest: the tag may move between two questions.
    const root = (allPlatforms ? image.index : undefined) ?? image.manifest;
    const added = await this.#add(source, await source.fetchManifest(at(root.digest), { signal }), at, 0);
    for (const manifest of added) await this.#addReferrers(source, manifest.descriptor.digest, at);
    const layers = image.layers.map((layer, index) => {
      const diffId = image.diffIds[index];
      if (diffId === undefined || !layer.mediaType.endsWith('+zstd')) return layer;
      this.#inflated.set(layer.digest, diffId);
      return { digest: diffId };
    });
    return { root, config: image.config, layers };
  }

  /** Every blob, manifests first. Each stream is to be read to its end before the next blob is asked for. */
  async *blobs(): AsyncGenerator<ContainedBlob, void, undefined> {
    for (const { descriptor, bytes } of this.#manifests.values()) yield { descriptor, chunks: [bytes] };
    const written = new Set<Digest>([...this.#manifests.keys(), ...this.#blobs.keys()]);
    for (const { descriptor, open } of this.#blobs.values()) {
      const chunks = verified(open(), descriptor, `blob ${descriptor.digest}`);
      const diffId = this.#inflated.get(descriptor.digest);
      if (diffId === undefined || written.has(diffId)) {
        yield { descriptor, chunks };
        continue;
      }
      written.add(diffId);
      const digester = new Digester(digestAlgorithm(diffId));
      yield { descriptor, chunks: inflatedBeside(chunks, digester) };
      const received = digester.digest();
      if (received !== diffId) throw digestMismatch(`layer ${descriptor.digest} inflated`, diffId, received);
      const plain = { ...descriptor, digest: diffId, size: digester.size };
      yield { descriptor: plain, chunks: verified(inflateLayer(open()), plain, `layer ${diffId}`) };
    }
  }

  async #add(
    source: Source,
    unchecked: VerifiedManifest,
    at: (digest: Digest) => ImageReference,
    depth: number,
  ): Promise<readonly VerifiedManifest[]> {
    const found = refuseSchema1(unchecked);
    const { digest } = found.descriptor;
    if (this.#manifests.has(digest)) return [];
    if (depth > MAX_DEPTH || this.#manifests.size >= MAX_MANIFESTS) {
      throw new RegistryError(
        'LIMIT_EXCEEDED',
        `archiving ${formatReference(at(digest))}: more than ${MAX_MANIFESTS} manifests, or deeper than ${MAX_DEPTH}`,
      );
    }
    this.#manifests.set(digest, found);
    const added: VerifiedManifest[] = [found];
    if (found.kind === 'index') {
      for (const child of found.index.manifests) {
        const manifest = await source.fetchManifest(at(child.digest), this.#options);
        added.push(...(await this.#add(source, manifest, at, depth + 1)));
      }
      return added;
    }
    for (const descriptor of [found.manifest.config, ...found.manifest.layers]) {
      this.#addBlob(source, at(digest), descriptor);
    }
    return added;
  }

  async #addReferrers(
    source: Source,
    subject: Digest,
    at: (digest: Digest) => ImageReference,
  ): Promise<void> {
    const { signal, referrers = true } = this.#options;
    if (source.referrers === undefined || !referrers) return;
    for await (const { digest } of source.referrers(at(subject), subject, { signal })) {
      if (this.#manifests.has(digest)) continue;
      const added = await this.#add(source, await source.fetchManifest(at(digest), { signal }), at, 0);
      if (added[0] !== undefined) this.referrers.push(added[0].descriptor);
      for (const manifest of added) await this.#addReferrers(source, manifest.descriptor.digest, at);
    }
  }

  #addBlob(source: Source, repository: Repository, descriptor: Descriptor): void {
    if (this.#blobs.has(descriptor.digest)) return;
    const { signal } = this.#options;
    this.#blobs.set(descriptor.digest, {
      descriptor,
      open: () => source.openBlob(repository, descriptor, { signal }),
    });
  }
}

/** Passes a compressed layer on while counting and hashing what it inflates to. */
async function* inflatedBeside(
  chunks: AsyncIterable<Uint8Array>,
  digester: Digester,
): AsyncGenerator<Uint8Array, void, undefined> {
  const queue = new PassThrough();
  const counting = (async () => {
    for await (const piece of inflateLayer(queue)) digester.update(piece);
  })();
  counting.catch(() => {});
  try {
    for await (const chunk of chunks) {
      if (!queue.write(chunk)) await Promise.race([once(queue, 'drain'), counting]);
      yield chunk;
    }
    queue.end();
    await counting;
  } finally {
    queue.destroy();
  }
}
