import { Authorizer } from '../auth/authorizer.ts';
import { anonymousKeychain, type Keychain } from '../auth/keychain.ts';
import type {
  BlobResolver,
  BlobSource,
  Fetcher,
  Pusher,
  ReferrerLister,
  ResolveOptions,
  TagLister,
} from '../content/interfaces.ts';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { HttpResponse } from '../http/request.ts';
import { Transport, type TransportOptions } from '../http/transport.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';
import { type Ask, itself, type RegistryRequest } from './ask.ts';
import { deleteBlob, openBlob, resolveBlob } from './blobs.ts';
import { listRepositories } from './catalog.ts';
import type { Endpoint, HostSource, RegistryHost } from './endpoints.ts';
import { exchange } from './exchange.ts';
import { type HostCertificates, Hosts } from './hosts.ts';
import { fetchManifest, type ResolutionReceipt, resolveManifest } from './manifests.ts';
import { type MirrorFailure, Mirrors } from './mirrors.ts';
import { type NoticeOptions, Notices } from './notices.ts';
import { ping, type RegistryInfo } from './ping.ts';
import { deleteManifest, pushManifest } from './push-manifest.ts';
import { addToReferrersTag, listReferrers, removeFromReferrersTag } from './referrers.ts';
import { listTags } from './tags.ts';
import { pushBlob } from './uploads.ts';

export interface RegistryClientOptions extends Omit<TransportOptions, 'tlsAt'>, NoticeOptions {
  /** @defaultValue {@link anonymousKeychain} */
  readonly keychain?: Keychain;
  /**
   * Where a registry really is, by its canonical name: `{ 'docker.io': { url: 'https://mirror.corp' } }`. Without an
   * entry a registry is asked by https at its own name, and by http when that name is a loopback address. Credentials
   * are looked up for the host that is asked, so a mirror never sees those of what it mirrors.
   *
   * A {@link HostSource} answers with mirrors too; `readRegistriesConf` and `readContainerdHosts` make one.
   */
  readonly hosts?: Readonly<Record<string, RegistryHost>> | HostSource;
  /** Certificates by host, for endpoints that bring none; `readDockerCerts` reads them. */
  readonly certificates?: HostCertificates;
  /** Called whenever a mirror failed and the next endpoint was asked instead. */
  readonly onMirrorFailure?: (failure: MirrorFailure) => void;
  /**
   * The only registries, besides those in `hosts`, that may be in the caller's own network. With this list any other is
   * connected to at public addresses only: for a client that is asked for names out of content, such as FROM lines.
   *
   * @defaultValue every registry may
   */
  readonly internalRegistries?: readonly string[];
  /** Bytes of one PATCH when a blob goes up in chunks; 0 sends it in one PUT. @defaultValue 0 */
  readonly chunkBytes?: number;
  /** The time of receipts. @defaultValue now */
  readonly now?: () => Date;
}

/**
 * Reads and writes registries. Everything it returns was hashed first.
 *
 * @see OCI distribution-spec
 */
export class RegistryClient implements Fetcher, BlobResolver, Pusher, TagLister, ReferrerLister {
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #hosts: Hosts;
  readonly #chunkBytes: number;
  readonly #now: () => Date;
  readonly #notices: Notices;
  readonly #ask: Ask;

  constructor(options: RegistryClientOptions = {}) {
    this.#hosts = new Hosts(options.hosts ?? {}, options.certificates);
    const { internalRegistries } = options;
    this.#transport = new Transport(
      { ...options, tlsAt: (url) => this.#hosts.tlsAt(url) },
      (origin) => internalRegistries === undefined || this.#hosts.includes(origin, internalRegistries),
    );
    this.#authorizer = new Authorizer(this.#transport, options.keychain ?? anonymousKeychain);
    this.#chunkBytes = options.chunkBytes ?? 0;
    this.#notices = new Notices(options);
    this.#now = options.now ?? (() => new Date());
    const mirrors = new Mirrors(
      this.#hosts,
      (request, endpoint, operation) => this.#send(request, endpoint, operation),
      options.onMirrorFailure,
    );
    this.#ask = (request, operation) => mirrors.ask(request, operation);
  }

  async resolve(reference: ImageReference, options: ResolveOptions = {}): Promise<Descriptor> {
    const ask = options.mirrors === false ? itself(this.#ask) : this.#ask;
    const { mediaType, digest, size } = await resolveManifest(ask, reference, {
      now: this.#now,
      ...options,
    });
    return { mediaType, digest, size };
  }

  /**
   * Resolves a reference, and says who answered, when, and under which entity tag: what a tag meant, to be held against
   * what it means later.
   *
   * @throws {@link RegistryError} `NOT_FOUND`
   */
  resolveWithReceipt(reference: ImageReference, options?: OperationOptions): Promise<ResolutionReceipt> {
    return resolveManifest(this.#ask, reference, { now: this.#now, ...options });
  }

  fetchManifest(reference: ImageReference, options?: OperationOptions): Promise<VerifiedManifest> {
    return fetchManifest(this.#ask, reference, options);
  }

  openBlob(
    repository: Repository,
    descriptor: Descriptor,
    options?: OperationOptions,
  ): AsyncIterable<Uint8Array> {
    const release = (chunk: Uint8Array) => this.#transport.release(chunk);
    return openBlob(this.#ask, repository, descriptor, { ...options, release });
  }

  /** Tells a blob's size, on the registry's word. @throws {@link RegistryError} `NOT_FOUND` */
  resolveBlob(repository: Repository, digest: Digest, options?: OperationOptions): Promise<Descriptor> {
    return resolveBlob(this.#ask, repository, digest, options);
  }

  pushBlob(
    repository: Repository,
    blob: BlobSource,
    options?: OperationOptions & { readonly mountFrom?: Repository },
  ): Promise<'exists' | 'mounted' | 'uploaded'> {
    return pushBlob(this.#ask, repository, blob, { chunkBytes: this.#chunkBytes, ...options });
  }

  /** Stores exact bytes; a manifest with a subject is also listed by the fallback tag where there is no referrers API. */
  async pushManifest(
    reference: ImageReference,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    options?: OperationOptions,
  ): Promise<Descriptor> {
    const { descriptor, unlistedSubject } = await pushManifest(this.#ask, reference, manifest, options);
    if (unlistedSubject !== undefined) {
      await addToReferrersTag(this.#ask, reference, unlistedSubject, options);
    }
    return descriptor;
  }

  /**
   * Gives a manifest that is in the repository another tag, without moving its content.
   *
   * @throws {@link RegistryError} `NOT_FOUND`
   */
  async tag(reference: ImageReference, tag: string, options?: OperationOptions): Promise<Descriptor> {
    const { bytes, descriptor } = await fetchManifest(itself(this.#ask), reference, options);
    const { registry, repository } = reference;
    const target = { registry, repository, tag };
    await pushManifest(this.#ask, target, { bytes, mediaType: descriptor.mediaType }, options);
    return descriptor;
  }

  /**
   * Deletes a manifest by digest, or a tag where the registry can; and takes it out of its subject's fallback tag.
   *
   * @throws {@link RegistryError} `NOT_FOUND`, `UNSUPPORTED`
   */
  async deleteManifest(reference: ImageReference, options?: OperationOptions): Promise<void> {
    if (reference.digest !== undefined) {
      await removeFromReferrersTag(this.#ask, { ...reference, digest: reference.digest }, options);
    }
    await deleteManifest(this.#ask, reference, options);
  }

  /** Deletes a blob from a repository. @throws {@link RegistryError} `NOT_FOUND`, `UNSUPPORTED` */
  deleteBlob(repository: Repository, digest: Digest, options?: OperationOptions): Promise<void> {
    return deleteBlob(this.#ask, repository, digest, options);
  }

  tags(repository: Repository, options?: OperationOptions): AsyncIterable<string> {
    return listTags(this.#ask, repository, options);
  }

  /** Lists the repositories a registry admits to. @see distribution, "Catalog" */
  repositories(registry: string, options?: OperationOptions): AsyncIterable<string> {
    return listRepositories(this.#ask, registry, options);
  }

  /**
   * Asks a registry what it is, without credentials: its API, how it lets callers in, what is left of an allowance.
   *
   * @throws {@link RegistryError} `NOT_FOUND` where there is no registry, `UNREACHABLE`, `REGISTRY_BLOCKED`
   */
  async ping(registry: string, options: OperationOptions = {}): Promise<RegistryInfo> {
    const endpoints = await this.#hosts.endpoints({ registry, repository: '' }, options);
    const own = endpoints.find(({ mirror }) => !mirror);
    if (own !== undefined) return ping(this.#transport, own, registry, options);
    throw new RegistryError('UNSUPPORTED', `asking ${registry}: its hosts entries name only mirrors`);
  }

  referrers(
    repository: Repository,
    subject: Digest,
    options?: OperationOptions & { readonly artifactType?: string },
  ): AsyncIterable<Descriptor> {
    return listReferrers(this.#ask, repository, subject, options);
  }

  /** Ends every connection. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #send(
    request: RegistryRequest,
    endpoint: Endpoint,
    options: OperationOptions & { readonly attempts?: number },
  ): Promise<HttpResponse> {
    const { registry } = request.repository;
    const { mountFrom } = request;
    // The blob's other repository may have another path there as well.
    const [from] =
      mountFrom === undefined
        ? []
        : await this.#hosts.endpoints({ registry, repository: mountFrom }, options);
    return exchange(this.#transport, this.#authorizer, request, endpoint, {
      ...options,
      ...(from === undefined ? {} : { mountFrom: from.repository }),
      onAnswer: ({ headers }) => {
        this.#notices.warn(registry, headers.warning);
        this.#notices.count(registry, endpoint, headers);
      },
    });
  }
}
