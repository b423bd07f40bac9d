import type { Digest } from '../digest.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';

/** Options of {@link Resolver.resolve}. */
export interface ResolveOptions extends OperationOptions {
  /** Lets a mirror answer; false asks the registry itself, as who writes there must. @defaultValue true */
  readonly mirrors?: boolean;
}

/** Turns a name into a digest. */
export interface Resolver {
  /** Resolves a reference to the descriptor it names now. @throws RegistryError `NOT_FOUND` */
  resolve(reference: ImageReference, options?: ResolveOptions): Promise<Descriptor>;
}

/** Turns a blob's digest into a descriptor. */
export interface BlobResolver {
  /** Tells a blob's size. @throws RegistryError `NOT_FOUND` */
  resolveBlob(repository: Repository, digest: Digest, options?: OperationOptions): Promise<Descriptor>;
}

/** Reads verified content. */
export interface Fetcher extends Resolver {
  /** Reads a manifest or index; its bytes hash to its descriptor's digest, and to `reference.digest` when given. */
  fetchManifest(reference: ImageReference, options?: OperationOptions): Promise<VerifiedManifest>;
  /**
   * Streams a blob. The stream throws `DIGEST_MISMATCH` or `SIZE_MISMATCH` before it ends when the bytes are
   * not those the descriptor names, so a consumer that reached the end holds the right bytes.
   */
  openBlob(
    repository: Repository,
    descriptor: Descriptor,
    options?: OperationOptions,
  ): AsyncIterable<Uint8Array>;
}

/** A blob to push; `open` may be called again when an upload must restart. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  open(): AsyncIterable<Uint8Array>;
}

/** Writes content. */
export interface Pusher {
  /** Uploads a blob unless it is there; mounts it from `mountFrom` when the registry can. */
  pushBlob(
    repository: Repository,
    blob: BlobSource,
    options?: OperationOptions & { readonly mountFrom?: Repository },
  ): Promise<'exists' | 'mounted' | 'uploaded'>;
  /** Stores exact manifest bytes under the reference's tag or digest. */
  pushManifest(
    reference: ImageReference,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    options?: OperationOptions,
  ): Promise<Descriptor>;
}

/** Lists tags. */
export interface TagLister {
  tags(repository: Repository, options?: OperationOptions): AsyncIterable<string>;
}

/** Lists what refers to a manifest. */
export interface ReferrerLister {
  referrers(
    repository: Repository,
    subject: Digest,
    options?: OperationOptions & { readonly artifactType?: string },
  ): AsyncIterable<Descriptor>;
}
