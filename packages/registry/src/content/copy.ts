import pLimit from 'p-limit';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, type Repository, withDefaultTag } from '../reference.ts';
import { Attached } from './attached.ts';
import { copyBlob, isDistributable } from './copy-blob.ts';
import type { BlobResolver, Fetcher, Pusher, ReferrerLister, Resolver } from './interfaces.ts';

/** Something {@link copyImage} did. */
export type CopyEvent =
  | {
      /** Told about every mebibyte. */
      readonly type: 'blob-progress';
      readonly descriptor: Descriptor;
      /** Bytes read from the source; fewer than before when an upload had to start again. */
      readonly bytes: number;
    }
  | {
      readonly type: 'blob-done';
      readonly descriptor: Descriptor;
      readonly how: 'exists' | 'mounted' | 'uploaded';
    }
  | { readonly type: 'manifest-done'; readonly descriptor: Descriptor };

/** Options of {@link copyImage}. */
export interface CopyImageOptions extends OperationOptions {
  readonly source: Fetcher & Partial<ReferrerLister & BlobResolver>;
  readonly destination: Pusher & Partial<Resolver>;
  /** Copies what refers to the image and to it in turn: signatures, attestations, SBOMs. @defaultValue true */
  readonly referrers?: boolean;
  /** Copies cosign's tags of the image (`sha256-<hex>.sig`, `.att`, `.sbom`). @defaultValue true */
  readonly digestTags?: boolean;
  /** Blobs in transfer at a time. @defaultValue 4 */
  readonly concurrency?: number;
  readonly onProgress?: (event: CopyEvent) => void;
}

/** What {@link copyImage} did; the copy has the digest of the original. */
export interface CopyReport {
  readonly manifest: Descriptor;
  /** Every manifest and index stored, the image's own last before what refers to it. */
  readonly manifests: readonly Descriptor[];
  readonly blobs: { readonly exists: number; readonly mounted: number; readonly uploaded: number };
  /** Bytes of the blobs that were uploaded. */
  readonly uploadedBytes: number;
  readonly referrers: readonly Descriptor[];
  /** Cosign's tags that came along. */
  readonly digestTags: readonly string[];
}

const MAX_MANIFESTS = 4096;
const MAX_DEPTH = 8;
const MAX_CONCURRENCY = 64;

/**
 * Copies an image, or an index with all its images, byte for byte: manifests before what points to them, and by default
 * with everything that refers to it. What the destination has is not sent again. When it rejects, nothing is under way any more.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, `LIMIT_EXCEEDED`, and whatever reading and writing can end with.
 */
export async function copyImage(
  from: ImageReference,
  to: ImageReference,
  options: CopyImageOptions,
): Promise<CopyReport> {
  const failed = new AbortController();
  const signals = [failed.signal, ...(options.signal === undefined ? [] : [options.signal])];
  const copy = new Copy(from, to, { ...options, signal: AbortSignal.any(signals) });
  try {
    return await copyWith(copy, from, to, options);
  } catch (error) {
    failed.abort(error);
    await copy.settled();
    throw error;
  }
}

async function copyWith(
  copy: Copy,
  from: ImageReference,
  to: ImageReference,
  options: CopyImageOptions,
): Promise<CopyReport> {
  const target = withDefaultTag(to);
  const root = await options.source.fetchManifest(from, { signal: options.signal });
  if (target.digest !== undefined && target.digest !== root.descriptor.digest) {
    throw new RegistryError(
      'DIGEST_MISMATCH',
      `copying to ${formatReference(to)}: the image is ${root.descriptor.digest}`,
    );
  }
  copy.lookAhead(root.descriptor.digest);
  await copy.manifest(root, 0, target.tag);
  if (options.digestTags !== false) await copy.digestTags();
  if (options.referrers !== false) await copy.referrers();
  return copy.report(root.descriptor);
}

class Copy {
  readonly #from: Repository;
  readonly #to: Repository;
  readonly #options: CopyImageOptions;
  readonly #attached: Attached;
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #blobs = new Map<Digest, Promise<void>>();
  readonly #manifests = new Map<Digest, Descriptor>();
  readonly #counts = { exists: 0, mounted: 0, uploaded: 0 };
  readonly #referrers: Descriptor[] = [];
  readonly #digestTags: string[] = [];
  #uploadedBytes = 0;

  constructor(from: Repository, to: Repository, options: CopyImageOptions) {
    this.#from = { registry: from.registry, repository: from.repository };
    this.#to = { registry: to.registry, repository: to.repository };
    this.#options = options;
    this.#attached = new Attached(this.#from, options.source, options);
    this.#limit = pLimit(Math.min(MAX_CONCURRENCY, Math.max(1, options.concurrency ?? 4)));
  }

  /** Copies a manifest, after all it points to; under a tag, or by its digest. */
  async manifest(found: VerifiedManifest, depth: number, tag?: string): Promise<void> {
    const { destination, signal, onProgress } = this.#options;
    const { bytes, descriptor } = found;
    const { digest, mediaType } = descriptor;
    const known = this.#manifests.has(digest);
    if (!known) await this.#content(found, depth);
    if (known && tag === undefined) return;
    const target = { ...this.#to, ...(tag === undefined ? { digest } : { tag }) };
    await destination.pushManifest(target, { bytes, mediaType }, { signal });
    if (known) return;
    // In the order they were stored: children first.
    this.#manifests.delete(digest);
    this.#manifests.set(digest, descriptor);
    onProgress?.({ type: 'manifest-done', descriptor });
  }

  /** Asks what is attached to the image while its blobs are on their way. */
  lookAhead(subject: Digest): void {
    if (this.#options.digestTags !== false) void this.#attached.tagsOf(subject);
    if (this.#options.referrers !== false) void this.#attached.referrersOf(subject);
  }

  async digestTags(): Promise<void> {
    const answers = [...this.#manifests.keys()].map((subject) => this.#attached.tagsOf(subject));
    for (const answer of answers) {
      for (const { tag, manifest } of await answer) {
        await this.manifest(manifest, 0, tag);
        this.#digestTags.push(tag);
      }
    }
  }

  async referrers(): Promise<void> {
    // The map grows while it is walked: referrers have referrers.
    for (const subject of this.#manifests.keys()) {
      for (const descriptor of await this.#attached.referrersOf(subject)) {
        if (this.#manifests.has(descriptor.digest)) continue;
        await this.manifest(await this.#fetch(descriptor.digest), 0);
        this.#referrers.push(descriptor);
      }
    }
  }

  /** Waits until no blob is on its way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#blobs.values());
  }

  report(manifest: Descriptor): CopyReport {
    return {
      manifest,
      manifests: [...this.#manifests.values()],
      blobs: { ...this.#counts },
      uploadedBytes: this.#uploadedBytes,
      referrers: this.#referrers,
      digestTags: this.#digestTags,
    };
  }

  /** Copies what a manifest points to. */
  async #content(found: VerifiedManifest, depth: number): Promise<void> {
    const { digest } = found.descriptor;
    if (depth > MAX_DEPTH) throw this.#tooMuch(digest, `indexes nested deeper than ${MAX_DEPTH}`);
    if (this.#manifests.size >= MAX_MANIFESTS)
      throw this.#tooMuch(digest, `more than ${MAX_MANIFESTS} manifests`);
    this.#manifests.set(digest, found.descriptor);
    if (found.kind === 'index') {
      for (const child of found.index.manifests) {
        if (!this.#manifests.has(child.digest))
          await this.manifest(await this.#fetch(child.digest), depth + 1);
      }
    } else if (!(await this.#isThere(digest))) {
      const blobs = await this.#blobsOf(found);
      await Promise.all(blobs.filter(isDistributable).map((blob) => this.#blob(blob)));
    }
  }

  #fetch(digest: Digest): Promise<VerifiedManifest> {
    return this.#options.source.fetchManifest({ ...this.#from, digest }, { signal: this.#options.signal });
  }

  #tooMuch(digest: Digest, what: string): RegistryError {
    return new RegistryError(
      'LIMIT_EXCEEDED',
      `copying ${formatReference({ ...this.#from, digest })}: ${what}`,
    );
  }

  async #blobsOf(found: VerifiedManifest): Promise<readonly Descriptor[]> {
    if (found.kind === 'image') return [found.manifest.config, ...found.manifest.layers];
    if (found.kind === 'index') return found.index.manifests;
    const { source, signal } = this.#options;
    if (source.resolveBlob === undefined) throw unsized(found.descriptor.digest);
    // Schema 1 does not say how large its layers are.
    const blobs = [];
    for (const digest of new Set(found.schema1.fsLayers.map(({ blobSum }) => blobSum))) {
      blobs.push(await source.resolveBlob(this.#from, digest, { signal }));
    }
    return blobs;
  }

  #blob(descriptor: Descriptor): Promise<void> {
    let work = this.#blobs.get(descriptor.digest);
    if (work === undefined) {
      work = this.#limit(() => this.#send(descriptor));
      this.#blobs.set(descriptor.digest, work);
    }
    return work;
  }

  async #send(descriptor: Descriptor): Promise<void> {
    const { source, destination, signal, onProgress } = this.#options;
    const onBytes =
      onProgress && ((bytes: number) => onProgress({ type: 'blob-progress', descriptor, bytes }));
    const how = await copyBlob(this.#from, this.#to, descriptor, { source, destination, signal, onBytes });
    this.#counts[how] += 1;
    if (how === 'uploaded') this.#uploadedBytes += descriptor.size;
    onProgress?.({ type: 'blob-done', descriptor, how });
  }

  /** A registry that has a manifest has what it points to. */
  async #isThere(digest: Digest): Promise<boolean> {
    const { destination, signal } = this.#options;
    if (destination.resolve === undefined) return false;
    try {
      return (
        (await destination.resolve({ ...this.#to, digest }, { mirrors: false, signal })).digest === digest
      );
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'NOT_FOUND') return false;
      throw error;
    }
  }
}

function unsized(digest: Digest): RegistryError {
  return new RegistryError(
    'UNSUPPORTED',
    `copying ${digest}: the source cannot tell the sizes of its layers`,
  );
}
