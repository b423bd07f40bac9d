import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { MediaType } from '../oci/media-types.ts';
import { DEFAULT_PLATFORM, fitOf, formatPlatform, normalizePlatform } from '../oci/platform.ts';
import type { Annotations, Descriptor, ExecutionConfig, HistoryEntry, Platform } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference } from '../reference.ts';
import { formatReference, withDefaultTag } from '../reference.ts';
import type { Fetcher } from './interfaces.ts';
import { readBlob } from './read.ts';
import { platformOf, selectImage } from './select-image.ts';

/** One platform's image of a reference, all by digest. Plain data. */
export interface ResolvedImage {
  /** The reference asked for, in canonical form. */
  readonly reference: ImageReference;
  /** The index it was chosen from; absent for a single-platform image. */
  readonly index?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly platform: Platform;
  /** Digests of the uncompressed layers, base first. */
  readonly diffIds: readonly Digest[];
  readonly history: readonly HistoryEntry[];
  /** RFC 3339, as the config says. */
  readonly created?: string;
  /** Annotations of the manifest, over those of its descriptor in the index. */
  readonly annotations: Annotations;
  readonly labels: Readonly<Record<string, string>>;
  readonly execution: ExecutionConfig;
}

/** Options of {@link resolveImage}. */
export interface ResolveImageOptions extends OperationOptions {
  readonly source: Fetcher;
  /** @defaultValue linux/amd64 */
  readonly platform?: Platform;
}

/**
 * Resolves a reference to one platform's image: index, manifest and config, each read by digest and verified.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, `PLATFORM_NOT_FOUND`, `INVALID_CONFIG`, `INVALID_MANIFEST`, ...
 */
export async function resolveImage(
  reference: ImageReference,
  options: ResolveImageOptions,
): Promise<ResolvedImage> {
  const { source, signal } = options;
  const named = withDefaultTag(reference);
  const platform = options.platform ?? DEFAULT_PLATFORM;
  const first = await source.fetchManifest(named, { signal });
  const selection = { source, reference: named, platform, signal };
  const { found, offered } =
    first.kind === 'index' ? await selectImage(first.index, selection) : { found: first, offered: undefined };
  if (found.kind === 'schema1') {
    throw new RegistryError('UNSUPPORTED', `${formatReference(named)} is of Docker schema 1`, {
      hint: 'It names no config and no diffIDs: read it with describeSchema1, or pull and push it again with another tool.',
    });
  }
  const { manifest } = found;
  if (manifest.config.mediaType === MediaType.ociEmpty) {
    const what = manifest.artifactType ?? 'an artifact';
    throw new RegistryError('UNSUPPORTED', `${formatReference(named)} is no image but ${what.slice(0, 120)}`);
  }
  const bytes = await readBlob(source, named, manifest.config, { signal, maxBytes: MAX_CONFIG_BYTES });
  const config = parseImageConfig(bytes);
  const subject = formatReference(named);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new RegistryError(
      'INVALID_CONFIG',
      `${subject}: ${manifest.layers.length} layers but ${config.rootfs.diff_ids.length} diffIDs`,
    );
  }
  const actual = platformOf(config);
  if (offered !== undefined || options.platform !== undefined) checkPlatform(actual, platform, subject);
  return {
    reference: named,
    ...(offered === undefined ? {} : { index: first.descriptor }),
    manifest: found.descriptor,
    config: manifest.config,
    layers: manifest.layers,
    platform: actual,
    diffIds: config.rootfs.diff_ids,
    history: config.history ?? [],
    ...(config.created === undefined ? {} : { created: config.created }),
    annotations: { ...offered?.annotations, ...manifest.annotations },
    labels: config.config?.Labels ?? {},
    execution: config.config ?? {},
  };
}

/** The config decides what an image is; an index that says otherwise lies. Many configs name no variant or version. */
function checkPlatform(actual: Platform, wanted: Platform, subject: string): void {
  const asked = normalizePlatform(wanted);
  const said = actual.variant === undefined ? { ...actual, variant: asked.variant } : actual;
  const { os, architecture, variant } = asked;
  const fit = fitOf(said, { os, architecture, ...(variant === undefined ? {} : { variant }) });
  if (typeof fit === 'number') return;
  throw new RegistryError(
    'PLATFORM_NOT_FOUND',
    `${subject} is ${formatPlatform(actual)}, asked for ${formatPlatform(asked)}`,
    {
      details: { offered: [formatPlatform(actual)], reason: fit },
    },
  );
}
