import {
  DEFAULT_LAYER_LIMITS,
  type Digest,
  type Fetcher,
  formatReference,
  type ImageReference,
  ImagevetError,
  inflateLayer,
  type OperationOptions,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { findInTar, SecretSearch } from './secret-search.ts';

/** What a build of ours made may be compressed however well. */
const LIMITS = { ...DEFAULT_LAYER_LIMITS, maxRatio: Number.POSITIVE_INFINITY };
/** Layers that are remembered to hold nothing; a base is read once for all that is built on it. */
const REMEMBERED = 10_000;

interface CheckOptions extends OperationOptions {
  readonly registry: Fetcher & {
    deleteManifest?(reference: ImageReference, options?: OperationOptions): Promise<void>;
  };
}

/**
 * Looks for the secrets a build was given in the image it made: in its configuration and history, and in every byte of its
 * layers. What a program compressed, encrypted or encoded in a way of its own is not found.
 */
export class SecretCheck {
  readonly #search: SecretSearch;
  readonly #clean = new Set<Digest>();

  /** @param secrets - as they may be written, each way by itself */
  constructor(secrets: readonly string[]) {
    this.#search = new SecretSearch(secrets);
  }

  /**
   * An image that holds one is deleted from the registry where it allows that.
   *
   * @param bases - the images it stands on, whose layers this build did not make
   * @throws {@link CoreError} `SECRET_IN_IMAGE`, with `details` of path, layer and diffId; what the registry throws
   */
  async check(image: ResolvedImage, bases: readonly ImageReference[], options: CheckOptions): Promise<void> {
    if (this.#search.isEmpty) return;
    const { history, execution, labels } = image;
    if (this.#search.isIn(Buffer.from(JSON.stringify([history, execution, labels])))) {
      throw await this.#refuse(image, 'its configuration or history', {}, options);
    }
    const inherited = new Set(
      await Promise.all(bases.map((base) => layersOf(base, options))).then((all) => all.flat()),
    );
    for (const [layer, diffId] of image.diffIds.entries()) {
      if (this.#clean.has(diffId) || inherited.has(diffId)) continue;
      const path = await this.#findIn(image, layer, options);
      if (path !== undefined) {
        const what = `${path === '' ? 'something' : path} in layer ${layer + 1} of ${image.diffIds.length}`;
        throw await this.#refuse(image, what, { layer, diffId, ...(path === '' ? {} : { path }) }, options);
      }
      if (this.#clean.size < REMEMBERED) this.#clean.add(diffId);
    }
  }

  /** Path that holds a secret; empty when it is in no file. */
  async #findIn(
    { reference, layers }: ResolvedImage,
    index: number,
    { registry, signal }: CheckOptions,
  ): Promise<string | undefined> {
    const layer = layers[index];
    if (layer === undefined) return undefined;
    const open = () => inflateLayer(registry.openBlob(reference, layer, { signal }), LIMITS);
    const isIn = this.#search.stream();
    for await (const chunk of open()) {
      signal?.throwIfAborted();
      // The archive as it is, so that no way to read it hides anything.
      if (isIn(chunk)) return (await findInTar(open(), this.#search)) ?? '';
    }
    return undefined;
  }

  async #refuse(
    { reference, manifest }: ResolvedImage,
    what: string,
    details: Readonly<Record<string, unknown>>,
    { registry, signal }: CheckOptions,
  ): Promise<CoreError> {
    const { digest } = manifest;
    const name = formatReference({ ...reference, tag: undefined, digest });
    let hint = 'It was deleted from the registry; its blobs stay until they are collected.';
    try {
      if (registry.deleteManifest === undefined) throw new CoreError('SECRET_IN_IMAGE', 'not deleted');
      await registry.deleteManifest({ ...reference, tag: undefined, digest }, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      if (!ImagevetError.is(error)) throw error;
      hint = 'Delete it from the scratch repository, and change the secret.';
    }
    return new CoreError('SECRET_IN_IMAGE', `${name} holds a secret of its build: ${what}`, {
      hint: `${hint} Give builds you do not trust a proxy without a password.`,
      details: { image: name, ...details },
    });
  }
}

/** The layers of a base; none when it cannot be read here, so that they are looked through. */
async function layersOf(
  base: ImageReference,
  { registry, signal }: CheckOptions,
): Promise<readonly Digest[]> {
  try {
    const { diffIds } = await resolveImage(base, { source: registry, signal });
    return diffIds;
  } catch (error) {
    signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    return [];
  }
}
