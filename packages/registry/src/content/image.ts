import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { MediaType } from '../oci/media-types.ts';
import { DEFAULT_PLATFORM, formatPlatform, normalizePlatform, selectPlatform } from '../oci/platform.ts';
import type {
  Annotations,
  Descriptor,
  ExecutionConfig,
  HistoryEntry,
  ImageConfig,
  Platform,
} from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { ImageReference } from '../reference.ts';
import { formatReference, withDefaultTag } from '../reference.ts';
import type { Fetcher } from './interfaces.ts';
import { readBlob } from './read.ts';

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

const MAX_INDEX_DEPTH = 4;

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
  let found = await source.fetchManifest(named, { signal });
  let index: Descriptor | undefined;
  let offered: Descriptor | undefined;
  for (let depth = 0; found.kind === 'index'; depth += 1) {
    if (depth >= MAX_INDEX_DEPTH) {
      throw new RegistryError(
        'LIMIT_EXCEEDED',
        `${formatReference(named)}: indexes nested deeper than ${MAX_INDEX_DEPTH}`,
      );
    }
    index ??= found.descriptor;
    offered = selectPlatform(found.index, platform);
    const { registry, repository } = named;
    found = await source.fetchManifest({ registry, repository, digest: offered.digest }, { signal });
    if (found.descriptor.size !== offered.size) {
      throw new RegistryError('SIZE_MISMATCH', `manifest ${offered.digest}: expected ${offered.size} bytes`);
    }
    if (found.descriptor.mediaType !== offered.mediaType) {
      throw new RegistryError(
        'AMBIGUOUS_MANIFEST',
        `manifest ${offered.digest} is ${found.descriptor.mediaType}, its index says ${offered.mediaType}`,
      );
    }
  }
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
  if (index !== undefined || options.platform !== undefined) checkPlatform(actual, platform, subject);
  return {
    reference: named,
    ...(index === undefined ? {} : { index }),
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

function platformOf(config: ImageConfig): Platform {
  return normalizePlatform({
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
    ...(config['os.version'] === undefined ? {} : { 'os.version': config['os.version'] }),
  });
}

/** The config decides what an image is; an index that says otherwise lies. */
function checkPlatform(actual: Platform, wanted: Platform, subject: string): void {
  const asked = normalizePlatform(wanted);
  if (actual.os === asked.os && actual.architecture === asked.architecture) return;
  throw new RegistryError(
    'PLATFORM_NOT_FOUND',
    `${subject} is ${formatPlatform(actual)}, asked for ${formatPlatform(asked)}`,
    {
      details: { offered: [formatPlatform(actual)] },
    },
  );
}
