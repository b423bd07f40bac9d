import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestOf,
  type Fetcher,
  formatReference,
  type ImageReference,
  type OciLayout,
  type OperationOptions,
  openOciLayout,
  parseManifest,
  RegistryClient,
  type RegistryClientOptions,
  RegistryError,
  type Repository,
  type ResolveOptions,
  type VerifiedManifest,
  withDefaultTag,
} from '@imagevet/registry';
import type { AnswerCache, KeptAnswer } from '../web/answer-cache.ts';

/** Options of {@link KeptRegistry}. */
export interface KeptRegistryOptions extends RegistryClientOptions {
  /** Where manifests, configs and other small blobs are kept. */
  readonly cache?: AnswerCache;
  /** Folders in the OCI image layout that stand for repositories, by name: `docker.io/library/php`. */
  readonly layouts?: Readonly<Record<string, string>>;
}

/**
 * A registry client that keeps what it reads of images, but for layers: by digest for ever, and what a tag was last. Offline it
 * answers from that and from layouts; everything else is refused.
 */
export class KeptRegistry extends RegistryClient implements Fetcher {
  readonly #cache: AnswerCache | undefined;
  readonly #offline: boolean;
  readonly #folders: Readonly<Record<string, string>>;
  readonly #layouts = new Map<string, Promise<OciLayout>>();

  constructor(options: KeptRegistryOptions) {
    super(options);
    this.#cache = options.cache;
    this.#offline = options.offline === true;
    this.#folders = options.layouts ?? {};
  }

  override async resolve(reference: ImageReference, options: ResolveOptions = {}): Promise<Descriptor> {
    const layout = await this.#layoutOf(reference);
    if (layout !== undefined) return layout.resolve(reference, options);
    if (this.#offline) return (await this.#recall(reference)).descriptor;
    return super.resolve(reference, options);
  }

  override async fetchManifest(
    reference: ImageReference,
    options: OperationOptions = {},
  ): Promise<VerifiedManifest> {
    options.signal?.throwIfAborted();
    const layout = await this.#layoutOf(reference);
    if (layout !== undefined) return layout.fetchManifest(reference, options);
    if (this.#offline) return this.#recall(reference);
    const kept =
      reference.digest === undefined ? undefined : await this.#keptManifest(reference, reference.digest);
    if (kept !== undefined) return kept;
    try {
      const found = await super.fetchManifest(reference, options);
      await this.#keep(reference, found);
      return found;
    } catch (error) {
      if (error instanceof RegistryError && ABSENT.has(error.code)) {
        const { code, message, hint } = error;
        await this.#cache?.put(nameKey(reference), answer(404, {}, JSON.stringify({ code, message, hint })));
      }
      throw error;
    }
  }

  override openBlob(
    repository: Repository,
    descriptor: Descriptor,
    options: OperationOptions = {},
  ): AsyncIterable<Uint8Array> {
    return this.#openBlob(repository, descriptor, options);
  }

  async *#openBlob(
    repository: Repository,
    descriptor: Descriptor,
    options: OperationOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    options.signal?.throwIfAborted();
    const layout = await this.#layoutOf(repository);
    if (layout !== undefined) {
      yield* layout.openBlob(repository, descriptor, options);
      return;
    }
    const key = contentKey(repository, descriptor.digest);
    const small = descriptor.size <= MAX_KEPT;
    const kept = small ? await this.#cache?.get(key) : undefined;
    if (
      kept?.status === 200 &&
      digestOf(kept.body, digestAlgorithm(descriptor.digest)) === descriptor.digest
    ) {
      if (kept.body.byteLength > 0) yield kept.body;
      return;
    }
    const read = super.openBlob(repository, descriptor, options);
    if (small && this.#cache !== undefined && !this.#offline) {
      const { body: _, ...described } = answer(200, {}, '');
      yield* this.#cache.pass(key, described, read);
    } else yield* read;
  }

  /** What is kept under a name. @throws RegistryError `OFFLINE`, or what the registry said last */
  async #recall(reference: ImageReference): Promise<VerifiedManifest> {
    const named = await this.#cache?.get(nameKey(reference));
    if (named?.status === 404) {
      const { code, message, hint } = JSON.parse(named.body.toString('utf8'));
      throw new RegistryError(code, message, { hint });
    }
    const digest = reference.digest ?? (named?.body.toString('utf8') as Digest | undefined);
    const found = digest === undefined ? undefined : await this.#keptManifest(reference, digest);
    if (found !== undefined) return found;
    const subject = formatReference(withDefaultTag(reference));
    throw new RegistryError('OFFLINE', `${subject}: its manifest is not kept, and nothing is asked offline`, {
      hint: 'Run once online with the same cache directory, or name a layout that has it.',
    });
  }

  async #keptManifest(repository: Repository, digest: Digest): Promise<VerifiedManifest | undefined> {
    const kept = await this.#cache?.get(contentKey(repository, digest));
    if (kept === undefined) return undefined;
    const contentType = kept.headers['content-type'];
    const named = contentType === undefined ? {} : { contentType };
    const found = parseManifest(kept.body, { ...named, algorithm: digestAlgorithm(digest) });
    return found.descriptor.digest === digest ? found : undefined;
  }

  async #keep(reference: ImageReference, { descriptor, bytes }: VerifiedManifest): Promise<void> {
    const { digest, mediaType } = descriptor;
    await this.#cache?.put(contentKey(reference, digest), answer(200, { 'content-type': mediaType }, bytes));
    await this.#cache?.put(nameKey(reference), answer(200, {}, digest));
  }

  async #layoutOf({ registry, repository }: Repository): Promise<OciLayout | undefined> {
    const name = `${registry}/${repository}`;
    const folder = Object.hasOwn(this.#folders, name) ? this.#folders[name] : undefined;
    if (folder === undefined) return undefined;
    const opening = this.#layouts.get(name) ?? openOciLayout(folder);
    this.#layouts.set(name, opening);
    return opening;
  }
}

/** Larger blobs are layers. */
const MAX_KEPT = 8 * 1024 * 1024;

/** What a registry says in answer to a question, and not because it cannot answer. */
const ABSENT: ReadonlySet<string> = new Set(['NOT_FOUND', 'AUTH_REQUIRED', 'DENIED']);

function contentKey({ registry, repository }: Repository, digest: Digest): string {
  return `image ${registry}/${repository}@${digest}`;
}

function nameKey(reference: ImageReference): string {
  return `name ${formatReference(withDefaultTag(reference))}`;
}

function answer(status: number, headers: KeptAnswer['headers'], body: Uint8Array | string): KeptAnswer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body);
  return { status, headers, url: '', storedAt: new Date().toISOString(), body: bytes };
}
