import { Authorizer } from '../auth/authorizer.ts';
import { parseChallenges } from '../auth/challenge.ts';
import { anonymousKeychain, type Keychain } from '../auth/keychain.ts';
import type { Scope } from '../auth/scope.ts';
import type { BlobSource, Fetcher, Pusher, ReferrerLister, TagLister } from '../content/interfaces.ts';
import type { Digest } from '../digest.ts';
import { type HttpResponse, Transport, type TransportOptions } from '../http/transport.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference, Repository } from '../reference.ts';
import type { Ask, RegistryRequest } from './ask.ts';
import { deleteBlob, openBlob } from './blobs.ts';
import { listRepositories } from './catalog.ts';
import { failureOf } from './failures.ts';
import { Hosts, type RegistryHost } from './hosts.ts';
import { deleteManifest, fetchManifest, pushManifest, resolveManifest } from './manifests.ts';
import { addToReferrersTag, listReferrers, removeFromReferrersTag } from './referrers.ts';
import { listTags } from './tags.ts';
import { pushBlob } from './uploads.ts';

export interface RegistryClientOptions extends Omit<TransportOptions, 'tls'> {
  /** @defaultValue {@link anonymousKeychain} */
  readonly keychain?: Keychain;
  /**
   * Where a registry really is, by its canonical name: `{ 'docker.io': { url: 'https://mirror.corp' } }`. Without an
   * entry a registry is asked by https at its own name, and by http when that name is a loopback address. Credentials
   * are looked up for the host that is asked, so a mirror never sees those of what it mirrors.
   */
  readonly hosts?: Readonly<Record<string, RegistryHost>>;
  /**
   * The only registries, besides those in `hosts`, that may be in the caller's own network. With this list any other is
   * connected to at public addresses only: for a client that is asked for names out of content, such as FROM lines.
   *
   * @defaultValue every registry may
   */
  readonly internalRegistries?: readonly string[];
  /** Bytes of one PATCH when a blob goes up in chunks; 0 sends it in one PUT. @defaultValue 0 */
  readonly chunkBytes?: number;
  /** Called once for each warning a registry gives, cleaned of control characters. @see RFC 7234, 5.5, code 299 */
  readonly onWarning?: (warning: { readonly registry: string; readonly text: string }) => void;
}

/**
 * Reads and writes registries. Everything it returns was hashed first.
 *
 * @see OCI distribution-spec
 */
export class RegistryClient implements Fetcher, Pusher, TagLister, ReferrerLister {
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #hosts: Hosts;
  readonly #chunkBytes: number;
  readonly #onWarning: RegistryClientOptions['onWarning'];
  readonly #warned = new Set<string>();
  readonly #ask: Ask;

  constructor(options: RegistryClientOptions = {}) {
    this.#hosts = new Hosts(options.hosts ?? {});
    const { internalRegistries } = options;
    this.#transport = new Transport(
      { ...options, tls: this.#hosts.tls },
      (origin) => internalRegistries === undefined || this.#hosts.includes(origin, internalRegistries),
    );
    this.#authorizer = new Authorizer(this.#transport, options.keychain ?? anonymousKeychain);
    this.#chunkBytes = options.chunkBytes ?? 0;
    this.#onWarning = options.onWarning;
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
    const { bytes, descriptor } = await this.fetchManifest(reference, options);
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

  async #send(request: RegistryRequest, options: OperationOptions): Promise<HttpResponse> {
    options.signal?.throwIfAborted();
    const { registry } = request.repository;
    const base = this.#hosts.urlOf(registry);
    const url =
      request.path instanceof URL ? request.path : this.#hosts.join(request.repository, request.path);
    const own = url.origin === base.origin;
    const access = {
      repository: {
        registry: this.#hosts.credentialsKey(registry),
        repository: request.repository.repository,
      },
      scopes: scopesOf(request),
      tokenServers: this.#hosts.tokenServersOf(registry),
    };
    const send = (authorization: string | undefined) =>
      this.#transport.send(
        {
          method: request.method,
          url,
          namedBy: base,
          ...(request.headers === undefined ? {} : { headers: request.headers }),
          ...(request.body === undefined ? {} : { body: request.body }),
          ...(request.maxBodyBytes === undefined ? {} : { maxBodyBytes: request.maxBodyBytes }),
          ...(authorization === undefined || !own ? {} : { authorization }),
        },
        options,
      );
    const shown = own ? await this.#authorizer.known(access, options) : undefined;
    let response = await send(shown);
    if (response.status === 401 && own && response.url.origin === base.origin) {
      const challenges = await this.#challengesOf(response, base, options);
      const authorization = await this.#authorizer.answer(challenges, base, access, shown, options);
      if (authorization !== undefined) {
        await response.dump();
        response = await send(authorization);
      }
    }
    this.#warn(registry, response.headers.warning);
    if (request.accept.includes(response.status)) return response;
    throw await failureOf(response, request);
  }

  /** What the 401 asks for; a registry that does not say is asked at its front door. */
  async #challengesOf(response: HttpResponse, base: URL, options: OperationOptions) {
    const challenges = parseChallenges(response.headers['www-authenticate']);
    if (challenges.length > 0) return challenges;
    const door = await this.#transport.send({ method: 'GET', url: new URL('/v2/', base) }, options);
    await door.dump();
    return door.url.origin === base.origin ? parseChallenges(door.headers['www-authenticate']) : [];
  }

  #warn(registry: string, header: string | string[] | undefined): void {
    if (this.#onWarning === undefined || header === undefined) return;
    for (const line of [header].flat().slice(0, 16)) {
      const text = /^299 - "((?:[^"\\]|\\.){0,4096})"/.exec(line)?.[1]?.replaceAll(/\\(.)|\p{C}/gu, '$1');
      if (text === undefined || this.#warned.size >= 256 || this.#warned.has(`${registry} ${text}`)) continue;
      this.#warned.add(`${registry} ${text}`);
      this.#onWarning({ registry, text });
    }
  }
}

function scopesOf({ repository, action, mountFrom }: RegistryRequest): readonly Scope[] {
  if (action === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }];
  const own: Scope = { type: 'repository', name: repository.repository, actions: action };
  return mountFrom === undefined ? [own] : [own, { type: 'repository', name: mountFrom, actions: ['pull'] }];
}
