import { type Action, Authorizer } from '../auth/authorizer.ts';
import { anonymousKeychain, type Keychain } from '../auth/keychain.ts';
import type { BlobSource, Fetcher, Pusher, ReferrerLister, TagLister } from '../content/interfaces.ts';
import type { Digest } from '../digest.ts';
import { isInternalHost } from '../http/egress.ts';
import { type HttpRequest, type HttpResponse, Transport, type TransportOptions } from '../http/transport.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';
import { openBlob } from './blobs.ts';
import { failureOf } from './failures.ts';
import { deleteManifest, fetchManifest, pushManifest, resolveManifest } from './manifests.ts';
import { listReferrers } from './referrers.ts';
import { listTags } from './tags.ts';
import { pushBlob } from './uploads.ts';

export interface RegistryClientOptions extends TransportOptions {
  /** @defaultValue {@link anonymousKeychain} */
  readonly keychain?: Keychain;
  /**
   * Where a registry really is, by its canonical name: `{ 'docker.io': { url: 'https://mirror.corp' } }`. Without an
   * entry a registry is asked by https at its own name, and by http when that name is a loopback address.
   */
  readonly hosts?: Readonly<Record<string, { readonly url: string }>>;
}

/** What one operation asks of a registry; paths are below `/v2/`. */
export interface RegistryRequest extends Pick<HttpRequest, 'method' | 'headers' | 'body'> {
  readonly repository: Repository;
  /** `manifests/latest`, below the repository; or an absolute URL the registry itself gave. */
  readonly path: string | URL;
  readonly action: Action;
  /** Statuses that are answers; every other throws. */
  readonly accept: readonly number[];
  /** What the request is about, for messages. */
  readonly subject: string;
}

/** Sends one authorised request. */
export type Ask = (request: RegistryRequest, options?: OperationOptions) => Promise<HttpResponse>;

const DOCKER_HUB_URL = 'https://registry-1.docker.io';

/**
 * Reads and writes registries. Everything it returns was hashed first.
 *
 * @see OCI distribution-spec
 */
export class RegistryClient implements Fetcher, Pusher, TagLister, ReferrerLister {
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #hosts: Readonly<Record<string, { readonly url: string }>>;
  readonly #ask: Ask;

  constructor(options: RegistryClientOptions = {}) {
    this.#transport = new Transport(options);
    this.#authorizer = new Authorizer(this.#transport, options.keychain ?? anonymousKeychain);
    this.#hosts = options.hosts ?? {};
    this.#ask = (request, operation = {}) => this.#send(request, operation);
  }

  resolve(reference: ImageReference, options?: OperationOptions): Promise<Descriptor> {
    return resolveManifest(this.#ask, reference, options);
  }

  fetchManifest(reference: ImageReference, options?: OperationOptions): Promise<VerifiedManifest> {
    return fetchManifest(this.#ask, reference, options);
  }

  openBlob(
    repository: Repository,
    descriptor: Descriptor,
    options?: OperationOptions,
  ): AsyncIterable<Uint8Array> {
    return openBlob(this.#ask, repository, descriptor, options);
  }

  pushBlob(
    repository: Repository,
    blob: BlobSource,
    options?: OperationOptions & { readonly mountFrom?: Repository },
  ): Promise<'exists' | 'mounted' | 'uploaded'> {
    return pushBlob(this.#ask, repository, blob, options);
  }

  pushManifest(
    reference: ImageReference,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    options?: OperationOptions,
  ): Promise<Descriptor> {
    return pushManifest(this.#ask, reference, manifest, options);
  }

  /** Deletes a manifest by digest, or a tag where the registry can. @throws {@link RegistryError} `NOT_FOUND`, `UNSUPPORTED` */
  deleteManifest(reference: ImageReference, options?: OperationOptions): Promise<void> {
    return deleteManifest(this.#ask, reference, options);
  }

  tags(repository: Repository, options?: OperationOptions): AsyncIterable<string> {
    return listTags(this.#ask, repository, options);
  }

  referrers(
    repository: Repository,
    subject: Digest,
    options?: OperationOptions & { readonly artifactType?: string },
  ): AsyncIterable<Descriptor> {
    return listReferrers(this.#ask, repository, subject, options);
  }

  /** Ends idle connections. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #send(request: RegistryRequest, options: OperationOptions): Promise<HttpResponse> {
    options.signal?.throwIfAborted();
    const { repository, action } = request;
    const url = this.#urlOf(request);
    const own = url.origin === this.#baseUrl(repository.registry).origin;
    const send = (authorization: string | undefined) =>
      this.#transport.send(
        {
          method: request.method,
          url,
          ...(request.headers === undefined ? {} : { headers: request.headers }),
          ...(request.body === undefined ? {} : { body: request.body }),
          ...(authorization === undefined || !own ? {} : { authorization }),
        },
        options,
      );
    const shown = await this.#authorizer.known(repository, action);
    let response = await send(shown);
    if (response.status === 401 && own && response.url.origin === url.origin) {
      await response.dump();
      const authorization = await this.#authorizer.answer(response, repository, action, shown, options);
      const replayable = request.body === undefined || request.body instanceof Uint8Array;
      if (authorization !== undefined && replayable) response = await send(authorization);
    }
    if (request.accept.includes(response.status)) return response;
    throw await failureOf(response, request);
  }

  #urlOf(request: RegistryRequest): URL {
    if (request.path instanceof URL) return request.path;
    const base = this.#baseUrl(request.repository.registry);
    const repository = request.repository.repository === '' ? '' : `${request.repository.repository}/`;
    return new URL(`/v2/${repository}${request.path}`, base);
  }

  #baseUrl(registry: string): URL {
    if (Object.hasOwn(this.#hosts, registry)) return new URL(this.#hosts[registry]?.url ?? '');
    if (registry === 'docker.io') return new URL(DOCKER_HUB_URL);
    const hostname = new URL(`http://${registry}`).hostname;
    return new URL(`${isLoopback(hostname) ? 'http' : 'https'}://${registry}`);
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || (isInternalHost(hostname) && /^(127\.|\[?::1\]?$)/.test(hostname));
}
