import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDockerArchive } from '../archive/docker-archive.ts';
import { writeDockerArchive } from '../archive/write-docker-archive.ts';
import type { Fetcher, Pusher, ReferrerLister, Resolver, TagLister } from '../content/interfaces.ts';
import { RegistryError } from '../errors.ts';
import { type OciLayout, openOciLayout } from '../layout/oci-layout.ts';
import { PARTIAL_PREFIX } from '../layout/write-file.ts';
import type { Platform } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, withDefaultTag } from '../reference.ts';
import { RegistryClient } from '../remote/client.ts';
import { formatLocation, type ImageLocation, parseLocation } from './location.ts';

/** Options of {@link openSource} and {@link openDestination}. */
export interface OpenLocationOptions extends OperationOptions {
  /** Reads and writes registries. @defaultValue an anonymous one, closed with what was opened */
  readonly client?: RegistryClient;
  /** Of an index that goes into a docker-archive: the image tools load that know one a name. @defaultValue linux/amd64 */
  readonly platform?: Platform;
}

/** A place to read an image from. */
export interface OpenedSource extends AsyncDisposable {
  /** What the image is called there. */
  readonly reference: ImageReference;
  readonly source: Fetcher & Partial<ReferrerLister & TagLister>;
}

/** A place to write an image to. */
export interface OpenedDestination extends AsyncDisposable {
  /** What the image is to be called there. */
  readonly reference: ImageReference;
  readonly destination: Pusher & Partial<Resolver>;
  /** Makes what was written appear: a docker-archive is gathered beside its place and written now. */
  commit(): Promise<void>;
}

/**
 * Opens a location for reading. Without tag, digest or name it is the only image there; in a layout of several, `latest`.
 *
 * @throws {@link RegistryError} `NOT_FOUND`; `INVALID_REFERENCE` when an archive of several images was not told which.
 */
export async function openSource(
  location: ImageLocation | string,
  options: OpenLocationOptions = {},
): Promise<OpenedSource> {
  const at = typeof location === 'string' ? parseLocation(location) : location;
  if (at.transport === 'docker') {
    const { client, close } = clientOf(options);
    return { reference: at.reference, source: client, [Symbol.asyncDispose]: close };
  }
  if (at.transport === 'oci') {
    const source = await openOciLayout(at.path);
    const named = at.tag !== undefined || at.digest !== undefined;
    const reference = { ...IN_LAYOUT, ...(named ? tagAndDigest(at) : await onlyImage(source, options)) };
    return { reference: withDefaultTag(reference), source, [Symbol.asyncDispose]: async () => {} };
  }
  const source = await openDockerArchive(at.path, options);
  const close = () => source.close();
  const [first, ...others] = source.images;
  if (at.name === undefined && (first === undefined || others.length > 0)) {
    await close();
    throw new RegistryError(
      'INVALID_REFERENCE',
      `${formatLocation(at)} holds ${source.images.length} images`,
      { hint: `Name one: ${source.images.flatMap(({ names }) => names.map(formatReference)).join(', ')}.` },
    );
  }
  const only = { ...IN_ARCHIVE, digest: first?.manifest.digest };
  const reference = at.name ?? first?.names[0] ?? only;
  return { reference: reference as ImageReference, source, [Symbol.asyncDispose]: close };
}

/**
 * Opens a location for writing; a layout is made when there is none. Nothing of a docker-archive is there before
 * `commit`, and a file in its place stays until then.
 */
export async function openDestination(
  location: ImageLocation | string,
  options: OpenLocationOptions = {},
): Promise<OpenedDestination> {
  const at = typeof location === 'string' ? parseLocation(location) : location;
  if (at.transport === 'docker') {
    const { client, close } = clientOf(options);
    const reference = at.reference;
    return { reference, destination: client, commit: async () => {}, [Symbol.asyncDispose]: close };
  }
  if (at.transport === 'oci') {
    const destination = await openOciLayout(at.path, { create: true });
    const reference = withDefaultTag({ ...IN_LAYOUT, ...tagAndDigest(at) });
    const done = async () => {};
    return { reference, destination, commit: done, [Symbol.asyncDispose]: done };
  }
  const { path, name } = at;
  const { platform, signal } = options;
  const directory = await mkdtemp(join(dirname(path), PARTIAL_PREFIX));
  const staged = await openOciLayout(directory, { create: true });
  const reference = name ?? { ...IN_ARCHIVE, tag: 'latest' };
  const names = name === undefined ? [] : [name];
  return {
    reference,
    destination: staged,
    commit: async () => {
      const image = { source: staged, reference, names };
      const selected = platform === undefined ? {} : { platform };
      await writeDockerArchive([image], path, { allPlatforms: true, signal, ...selected });
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Names of what has none; no registry is at a name below `.invalid`. @see RFC 2606 */
const IN_LAYOUT = { registry: 'oci-layout.invalid', repository: 'image' } as const;
const IN_ARCHIVE = { registry: 'docker-archive.invalid', repository: 'image' } as const;

function tagAndDigest({ tag, digest }: ImageLocation & { readonly transport: 'oci' }) {
  return { ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function clientOf(options: OpenLocationOptions) {
  const client = options.client ?? new RegistryClient();
  return { client, close: async () => (options.client === undefined ? client.close() : undefined) };
}

async function onlyImage(
  layout: OciLayout,
  options: OperationOptions,
): Promise<Pick<ImageReference, 'tag' | 'digest'>> {
  const manifest = await onlyOf(layout.manifests(options));
  if (manifest !== undefined) return { digest: manifest.digest };
  const tag = await onlyOf(layout.tags(IN_LAYOUT, options));
  return tag === undefined ? {} : { tag };
}

async function onlyOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  let only: T | undefined;
  for await (const item of items) {
    if (only !== undefined) return undefined;
    only = item;
  }
  return only;
}
