import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobSource, Fetcher, Pusher, ReferrerLister, TagLister } from '../content/interfaces.ts';
import { referrersAmong } from '../content/referrers-among.ts';
import { digestMismatch, VerifiedStream, verified } from '../content/verify.ts';
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../digest.ts';
import { diskFailure } from '../disk-failure.ts';
import { RegistryError } from '../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import { type CurrentManifest, refuseSchema1 } from '../oci/schema1.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, isTag, type Repository } from '../reference.ts';
import { checkFolder, readSmall, streamFile, withFile } from './files.ts';
import { withIndexLock } from './index-lock.ts';
import { writeWhole } from './write-file.ts';

const NAME = 'org.opencontainers.image.ref.name';
const MARKER = '{"imageLayoutVersion":"1.0.0"}';
/** Tags and referrers of one layout. */
const MAX_ENTRIES = 100_000;

/**
 * Opens a folder in the OCI image layout: the content of one repository on disk. Names of registry and repository in
 * references are not looked at; tags are the layout's `org.opencontainers.image.ref.name`.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, `INVALID_MANIFEST`
 * @see OCI image-spec, image-layout.md
 */
export async function openOciLayout(
  directory: string,
  options: {
    /** Makes the folder a layout when it is none. @defaultValue false */
    readonly create?: boolean;
  } = {},
): Promise<OciLayout> {
  if (options.create === true) {
    await makeLayout(directory).catch((error: unknown) => {
      throw diskFailure(`making the layout ${directory}`, error);
    });
  }
  const path = join(directory, 'oci-layout');
  const marker = parseStrictJson(await readMarker(directory, path), path, 'INVALID_MANIFEST');
  if (marker.imageLayoutVersion !== '1.0.0') {
    throw new RegistryError('INVALID_MANIFEST', `${directory} is not an OCI image layout of version 1.0.0`);
  }
  await checkFolder(join(directory, 'blobs'));
  return new OciLayout(directory);
}

async function readMarker(directory: string, path: string): Promise<Uint8Array> {
  try {
    return await readSmall(path, 4096);
  } catch (error) {
    if (!(error instanceof RegistryError && error.code === 'NOT_FOUND')) throw error;
    throw new RegistryError('NOT_FOUND', `${directory} is no OCI layout: it holds no file oci-layout`, {
      cause: error,
      hint: 'Check the path; as a location it ends at its first colon. With `create` a layout is made there.',
    });
  }
}

async function makeLayout(directory: string): Promise<void> {
  await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
  await withIndexLock(directory, async () => {
    await writeFile(join(directory, 'oci-layout'), MARKER, { flag: 'wx' }).catch(unlessExists);
    const index = JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] });
    await writeFile(join(directory, 'index.json'), index, { flag: 'wx' }).catch(unlessExists);
  });
}

/** An image layout on disk. Made by {@link openOciLayout}. */
export class OciLayout implements Fetcher, Pusher, TagLister, ReferrerLister {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async resolve(reference: ImageReference, options: OperationOptions = {}): Promise<Descriptor> {
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: ImageReference, options: OperationOptions = {}): Promise<CurrentManifest> {
    options.signal?.throwIfAborted();
    const entries = await this.#entries();
    const names = [reference.tag ?? 'latest', formatReference(reference)];
    const entry = entries.find(({ digest, annotations }) =>
      reference.digest === undefined
        ? names.includes(annotations?.[NAME] ?? '')
        : digest === reference.digest,
    );
    const digest = reference.digest ?? entry?.digest;
    if (digest === undefined) throw notFound(`${this.directory}:${reference.tag ?? 'latest'}`);
    const bytes = await readSmall(this.#pathOf(digest), MAX_MANIFEST_BYTES);
    const algorithm = digestAlgorithm(digest);
    const received = digestOf(bytes, algorithm);
    if (received !== digest) throw digestMismatch(`${this.directory}@${digest}`, digest, received);
    const named = entry === undefined ? {} : { contentType: entry.mediaType };
    return refuseSchema1(parseManifest(bytes, { algorithm, ...named }));
  }

  openBlob(
    _repository: Repository,
    descriptor: Descriptor,
    options: OperationOptions = {},
  ): AsyncIterable<Uint8Array> {
    const stream = streamFile(this.#pathOf(descriptor.digest), { signal: options.signal });
    return verified(stream, descriptor, `${this.directory}@${descriptor.digest}`);
  }

  async pushBlob(
    _repository: Repository,
    blob: BlobSource,
    options: OperationOptions = {},
  ): Promise<'exists' | 'uploaded'> {
    const path = this.#pathOf(blob.descriptor.digest);
    if (await exists(path, blob.descriptor.size)) {
      // A manifest will name it soon: it is to be as young as one written now.
      await utimes(path, new Date(), new Date());
      return 'exists';
    }
    const subject = `${this.directory}@${blob.descriptor.digest}`;
    const stream = verified(blob.open(), blob.descriptor, subject);
    await this.#write(path, stream, {
      signal: options.signal,
      release: (chunk) => VerifiedStream.release(stream, chunk),
    });
    return 'uploaded';
  }

  async pushManifest(
    reference: ImageReference,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    options: OperationOptions = {},
  ): Promise<Descriptor> {
    const algorithm = reference.digest === undefined ? 'sha256' : digestAlgorithm(reference.digest);
    const parsed = refuseSchema1(
      parseManifest(manifest.bytes, { contentType: manifest.mediaType, algorithm }),
    );
    const { descriptor } = parsed;
    if (reference.digest !== undefined && reference.digest !== descriptor.digest) {
      throw digestMismatch(`${this.directory}@${reference.digest}`, reference.digest, descriptor.digest);
    }
    await this.#write(this.#pathOf(descriptor.digest), [manifest.bytes], { signal: options.signal });
    const { subject } = parsed.kind === 'image' ? parsed.manifest : parsed.index;
    const tag = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined);
    // What refers to something stays listed when its tag moves on.
    if (subject !== undefined) await this.#list(descriptor, undefined, options);
    if (tag !== undefined) await this.#list(descriptor, tag, options);
    return descriptor;
  }

  /** Lists the entries of `index.json`, each manifest once: what was tagged, and what refers to something. */
  async *manifests(options: OperationOptions = {}): AsyncGenerator<Descriptor, void, undefined> {
    options.signal?.throwIfAborted();
    const seen = new Set<Digest>();
    for (const entry of await this.#entries()) {
      if (!seen.has(entry.digest)) yield entry;
      seen.add(entry.digest);
    }
  }

  async *tags(
    _repository?: Repository,
    options: OperationOptions = {},
  ): AsyncGenerator<string, void, undefined> {
    options.signal?.throwIfAborted();
    for (const { annotations } of await this.#entries()) {
      const name = annotations?.[NAME];
      if (name !== undefined && isTag(name)) yield name;
    }
  }

  async *referrers(
    repository: Repository,
    subject: Digest,
    options: OperationOptions & { readonly artifactType?: string } = {},
  ): AsyncGenerator<Descriptor, void, undefined> {
    yield* referrersAmong(await this.#entries(), { source: this, repository, subject }, options);
  }

  async #entries(): Promise<readonly Descriptor[]> {
    const bytes = await readSmall(join(this.directory, 'index.json'), MAX_MANIFEST_BYTES);
    const parsed = parseManifest(bytes, { contentType: MediaType.ociIndex, maxDescriptors: MAX_ENTRIES });
    return parsed.kind === 'index' ? parsed.index.manifests : [];
  }

  /** Puts a manifest into `index.json`; a tag moves to it. */
  #list(descriptor: Descriptor, tag: string | undefined, options: OperationOptions): Promise<void> {
    const change = async () => {
      const entries = (await this.#entries()).filter(({ digest, annotations }) =>
        tag === undefined
          ? digest !== descriptor.digest || annotations?.[NAME] !== undefined
          : annotations?.[NAME] !== tag,
      );
      const entry = tag === undefined ? descriptor : { ...descriptor, annotations: { [NAME]: tag } };
      const document = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [...entries, entry] };
      await this.#write(join(this.directory, 'index.json'), [Buffer.from(JSON.stringify(document))]);
    };
    return withIndexLock(this.directory, change, options);
  }

  async #write(
    path: string,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: OperationOptions & { readonly release?: (chunk: Uint8Array) => void } = {},
  ): Promise<void> {
    await mkdir(join(path, '..'), { recursive: true });
    await writeWhole(path, content, { directory: this.directory, ...options });
  }

  /** The digest was parsed, so neither part of it can leave the folder. */
  #pathOf(digest: Digest): string {
    return join(this.directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
  }
}

async function exists(path: string, size: number): Promise<boolean> {
  try {
    return await withFile(path, async (file) => (await file.stat()).size === size);
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'NOT_FOUND') return false;
    throw error;
  }
}

function unlessExists(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}

function notFound(what: string): RegistryError {
  return new RegistryError('NOT_FOUND', `${what} is not in the layout`);
}
