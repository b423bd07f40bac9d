import { copyBlob, isDistributable } from '../content/copy-blob.ts';
import { type ResolvedImage, resolveImage } from '../content/image.ts';
import type { Fetcher, Pusher } from '../content/interfaces.ts';
import { blobOf, readBlob } from '../content/read.ts';
import { RegistryError } from '../errors.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Descriptor, ImageConfig, Platform } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, withDefaultTag } from '../reference.ts';
import { asOci, changeAnnotations, type Document, readDocument, writeDocument } from './document.ts';
import { mergeExecution, rebaseHistory } from './rebase-config.ts';

/** Options of {@link rebaseImage}. */
export interface RebaseImageOptions extends OperationOptions {
  readonly source: Fetcher;
  readonly destination: Pusher;
  /** What the image stands on now. */
  readonly oldBase: ImageReference;
  /** What it is to stand on. */
  readonly newBase: ImageReference;
  /** Where the result goes: one image, even if the reference is of an index. */
  readonly target: ImageReference;
  /** Which image of an index. @defaultValue linux/amd64 */
  readonly platform?: Platform;
}

/** What {@link rebaseImage} made. */
export interface RebaseReport {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** What it was made from; its signatures and referrers stay with it. */
  readonly previous: Descriptor;
  /** Layers of the old base that are gone, of the new base that came, and of the image itself. */
  readonly layers: { readonly removed: number; readonly added: number; readonly kept: number };
  /**
   * Settings that both the image and the new base changed, as `Env.PATH` or `User`: the image's value was kept, and may
   * not suit the new base.
   */
  readonly conflicts: readonly string[];
}

/**
 * Puts an image's own layers on another base, without building: layers, history and inherited settings of the old base give
 * way to those of the new one. Whether the result works is for a test to say; the layers were made on other files.
 *
 * @throws {@link RegistryError} `BASE_MISMATCH` when the layers of the old base are not the first of the image, by
 * diffID; `PLATFORM_NOT_FOUND` when a base is not for the image's platform.
 */
export async function rebaseImage(
  reference: ImageReference,
  options: RebaseImageOptions,
): Promise<RebaseReport> {
  const { source, destination, signal } = options;
  const image = await open(reference, options, options.platform);
  const oldBase = await open(options.oldBase, options, image.resolved.platform);
  const newBase = await open(options.newBase, options, image.resolved.platform);
  checkBase(image.resolved, oldBase.resolved);
  const target = withDefaultTag(options.target);
  const { config, conflicts } = rebasedConfig(image, oldBase, newBase);
  const manifest = rebasedManifest(image, oldBase, newBase, config.descriptor);
  const own = image.resolved.layers.slice(oldBase.resolved.layers.length);
  for (const [from, layers] of [
    [newBase.resolved.reference, newBase.resolved.layers],
    [image.resolved.reference, own],
  ] as const) {
    for (const layer of layers.filter(isDistributable)) {
      await copyBlob(from, target, layer, { source, destination, signal });
    }
  }
  await destination.pushBlob(target, blobOf(config.bytes, config.descriptor), { signal });
  const { bytes, descriptor } = manifest;
  await destination.pushManifest(target, { bytes, mediaType: descriptor.mediaType }, { signal });
  return {
    manifest: descriptor,
    config: config.descriptor,
    previous: image.resolved.manifest,
    layers: {
      ...{ removed: oldBase.resolved.layers.length, added: newBase.resolved.layers.length },
      kept: own.length,
    },
    conflicts,
  };
}

/** An image and its documents. */
interface OpenedImage {
  readonly resolved: ResolvedImage;
  readonly manifest: Document;
  readonly config: ImageConfig;
  /** The config with all it says. */
  readonly document: Document;
}

async function open(
  reference: ImageReference,
  { source, signal }: RebaseImageOptions,
  platform: Platform | undefined,
): Promise<OpenedImage> {
  const resolved = await resolveImage(reference, {
    ...{ source, signal },
    ...(platform === undefined ? {} : { platform }),
  });
  const { registry, repository } = resolved.reference;
  const { digest } = resolved.manifest;
  const { bytes } = await source.fetchManifest({ registry, repository, digest }, { signal });
  const config = await readBlob(source, resolved.reference, resolved.config, {
    ...{ signal, maxBytes: MAX_CONFIG_BYTES },
  });
  return {
    ...{ resolved, manifest: readDocument(bytes) },
    ...{ config: parseImageConfig(config), document: readDocument(config) },
  };
}

function checkBase(image: ResolvedImage, base: ResolvedImage): void {
  const names = `${formatReference(image.reference)} is not based on ${formatReference(base.reference)}`;
  if (base.diffIds.length === 0) {
    throw new RegistryError('BASE_MISMATCH', `${names}: a base without layers proves nothing`);
  }
  for (const [index, expected] of base.diffIds.entries()) {
    const received = image.diffIds[index];
    if (received === expected) continue;
    throw new RegistryError(
      'BASE_MISMATCH',
      `${names}: layer ${index + 1} is ${received ?? 'not there'}, expected ${expected}`,
      {
        hint: 'Name the base the image was built on; a tag may have moved since.',
        details: { layer: index + 1, expected, received: received ?? null },
      },
    );
  }
}

function rebasedConfig(image: OpenedImage, oldBase: OpenedImage, newBase: OpenedImage) {
  const merged = mergeExecution(image.config.config, oldBase.config.config, newBase.config.config);
  const own = image.config.rootfs.diff_ids.slice(oldBase.config.rootfs.diff_ids.length);
  const config = writeDocument(
    {
      ...image.document,
      ...inherited(image.document, oldBase.document, newBase.document),
      config: merged.execution,
      rootfs: { type: 'layers', diff_ids: [...newBase.config.rootfs.diff_ids, ...own] },
      history: rebaseHistory(image.config, oldBase.config, newBase.config),
    },
    image.resolved.config.mediaType,
  );
  return { config, conflicts: merged.conflicts };
}

/** What the base alone decides: Windows runs an image only on the version it was made for. */
function inherited(image: Document, oldBase: Document, newBase: Document): Document {
  const names = ['os.version', 'os.features', 'variant'].filter(
    (name) => JSON.stringify(image[name]) === JSON.stringify(oldBase[name]),
  );
  return Object.fromEntries(names.map((name) => [name, newBase[name]]));
}

/** Docker's format stays when all parts are in it; a mixture becomes OCI's, where the base is written down too. */
function rebasedManifest(
  image: OpenedImage,
  oldBase: OpenedImage,
  newBase: OpenedImage,
  config: Descriptor,
): ReturnType<typeof writeDocument> {
  const own = image.resolved.layers.slice(oldBase.resolved.layers.length);
  const layers = [...newBase.resolved.layers, ...own];
  const docker = [image, newBase].every(
    ({ resolved }) => resolved.manifest.mediaType === MediaType.dockerManifest,
  );
  if (docker) return writeDocument({ ...image.manifest, config, layers }, MediaType.dockerManifest);
  const annotations = changeAnnotations(image.manifest.annotations, {
    'org.opencontainers.image.base.name': formatReference({ ...newBase.resolved.reference }),
    'org.opencontainers.image.base.digest': newBase.resolved.manifest.digest,
  });
  const mediaType = MediaType.ociManifest;
  const document = { ...image.manifest, mediaType, config: asOci(config), layers: layers.map(asOci) };
  return writeDocument({ ...document, annotations }, mediaType);
}
