import { copyImage } from '../content/copy.ts';
import { copyBlob, isDistributable } from '../content/copy-blob.ts';
import type { Fetcher, Pusher } from '../content/interfaces.ts';
import { type CurrentManifest, refuseSchema1 } from '../oci/schema1.ts';
import type { Descriptor } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { type ImageReference, withDefaultTag } from '../reference.ts';
import { asOci, changeAnnotations, ociType, readDocument, writeDocument } from './document.ts';

/** Options of {@link annotateImage}. */
export interface AnnotateImageOptions extends OperationOptions {
  readonly source: Fetcher;
  readonly destination: Pusher;
  /** What to set; `null` removes. */
  readonly annotations: Readonly<Record<string, string | null>>;
  /** Where the result goes. @defaultValue the reference itself: its tag moves */
  readonly target?: ImageReference;
}

/** What {@link annotateImage} made. */
export interface AnnotateReport {
  readonly manifest: Descriptor;
  /** What it was made from; its signatures and referrers stay with it. */
  readonly previous: Descriptor;
}

/**
 * Changes the annotations of an image's manifest or of an index and stores the result under a new digest; all else in the
 * document stays as it is. Docker's formats have no annotations, so they become OCI's, with the same content. Blobs are
 * mounted within a registry.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, and whatever reading and writing can end with.
 */
export async function annotateImage(
  reference: ImageReference,
  options: AnnotateImageOptions,
): Promise<AnnotateReport> {
  const { source, destination, signal } = options;
  const from = withDefaultTag(reference);
  const target = withDefaultTag(options.target ?? tagOf(from));
  const found = refuseSchema1(await source.fetchManifest(from, { signal }));
  const document = readDocument(found.bytes);
  const mediaType = ociType(found.descriptor.mediaType);
  const converted = mediaType !== found.descriptor.mediaType;
  const annotations = changeAnnotations(document.annotations, options.annotations);
  const changed = writeDocument(
    {
      ...document,
      ...(converted ? { mediaType } : {}),
      ...(converted && found.kind === 'image'
        ? { config: asOci(found.manifest.config), layers: found.manifest.layers.map(asOci) }
        : {}),
      annotations,
    },
    mediaType,
  );
  await moveContent(found, from, target, options);
  await destination.pushManifest(target, { bytes: changed.bytes, mediaType }, { signal });
  return { manifest: changed.descriptor, previous: found.descriptor };
}

/** Brings what a manifest points to into the target's repository. */
async function moveContent(
  found: CurrentManifest,
  from: ImageReference,
  to: ImageReference,
  options: AnnotateImageOptions,
): Promise<void> {
  const { source, destination, signal } = options;
  const same = from.registry === to.registry && from.repository === to.repository;
  if (same && Object.is(source, destination)) return;
  if (found.kind === 'image') {
    for (const blob of [found.manifest.config, ...found.manifest.layers].filter(isDistributable)) {
      await copyBlob(from, to, blob, { source, destination, signal });
    }
    return;
  }
  for (const { digest } of found.index.manifests) {
    const at = ({ registry, repository }: ImageReference) => ({ registry, repository, digest });
    await copyImage(at(from), at(to), { source, destination, signal, referrers: false, digestTags: false });
  }
}

/** The digest is of the old content. */
function tagOf({ registry, repository, tag }: ImageReference): ImageReference {
  return { registry, repository, ...(tag === undefined ? {} : { tag }) };
}
