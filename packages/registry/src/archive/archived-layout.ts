import { digestMismatch } from '../content/verify.ts';
import { type Digest, digestAlgorithm, digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MediaType } from '../oci/media-types.ts';
import { type CurrentManifest, refuseSchema1 } from '../oci/schema1.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, parseReference, withDefaultTag } from '../reference.ts';
import type { ArchiveFiles } from './archive-files.ts';

/** An entry of an archive's `index.json`. */
export interface LayoutRoot {
  readonly descriptor: Descriptor;
  readonly name?: ImageReference;
  /** The images below it that the archive holds. */
  readonly images: readonly (VerifiedManifest & { readonly kind: 'image' })[];
}

const MAX_MANIFESTS = 4096;
const MAX_DEPTH = 8;

/** The OCI layout inside an archive: what Docker 25 and later, and `podman save --format oci-archive`, write. */
export class ArchivedLayout {
  readonly roots: readonly LayoutRoot[];

  private constructor(roots: readonly LayoutRoot[]) {
    this.roots = roots;
  }

  /**
   * Reads `index.json`; an archive without it has no roots.
   *
   * @throws {@link RegistryError} `AMBIGUOUS_MANIFEST` when one name is given to two images; `LIMIT_EXCEEDED`
   */
  static async read(files: ArchiveFiles, options: OperationOptions): Promise<ArchivedLayout> {
    if (!files.has('index.json')) return new ArchivedLayout([]);
    const bytes = await files.read(files.placeOf('index.json'), MAX_MANIFEST_BYTES, options);
    const parsed = parseManifest(bytes, { contentType: MediaType.ociIndex });
    const roots: LayoutRoot[] = [];
    const budget = { left: MAX_MANIFESTS };
    for (const descriptor of parsed.kind === 'index' ? parsed.index.manifests : []) {
      const name = nameOf(descriptor);
      const images = await imagesBelow(files, descriptor.digest, budget, 0, options);
      roots.push({ descriptor, images, ...(name === undefined ? {} : { name }) });
    }
    const owners = new Map<string, Digest>();
    for (const { name, descriptor } of roots) {
      if (name === undefined) continue;
      const text = formatReference(name);
      if ((owners.get(text) ?? descriptor.digest) !== descriptor.digest) throw twoImages(files.path, text);
      owners.set(text, descriptor.digest);
    }
    return new ArchivedLayout(roots);
  }
}

/** Reads a manifest of the layout, or finds that the archive does not hold it. */
export async function readArchivedManifest(
  files: ArchiveFiles,
  digest: Digest,
  options: OperationOptions,
): Promise<CurrentManifest | undefined> {
  const place = files.placeOfBlob(digest);
  if (place === undefined) return undefined;
  const bytes = await files.read(place, MAX_MANIFEST_BYTES, options);
  const algorithm = digestAlgorithm(digest);
  const received = digestOf(bytes, algorithm);
  if (received !== digest) throw digestMismatch(`${files.path}@${digest}`, digest, received);
  return refuseSchema1(parseManifest(bytes, { algorithm }));
}

/** The error for an archive of which different tools load different images under one name. */
export function twoImages(path: string, name: string): RegistryError {
  return new RegistryError('AMBIGUOUS_MANIFEST', `${path} holds two images of the name ${name}`, {
    hint: 'Do not trust this archive: different tools would load different content.',
  });
}

async function imagesBelow(
  files: ArchiveFiles,
  digest: Digest,
  budget: { left: number },
  depth: number,
  options: OperationOptions,
): Promise<(VerifiedManifest & { readonly kind: 'image' })[]> {
  budget.left -= 1;
  if (depth > MAX_DEPTH || budget.left < 0) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `${files.path}: more than ${MAX_MANIFESTS} manifests, or deeper than ${MAX_DEPTH}`,
    );
  }
  const found = await readArchivedManifest(files, digest, options);
  if (found === undefined) return [];
  if (found.kind === 'image') return [found];
  const images = [];
  for (const child of found.index.manifests) {
    images.push(...(await imagesBelow(files, child.digest, budget, depth + 1, options)));
  }
  return images;
}

/** containerd's full name, or the layout's when it is more than a tag. */
function nameOf({ annotations }: Descriptor): ImageReference | undefined {
  const name =
    annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
  return name === undefined || !/[:/]/.test(name) ? undefined : withDefaultTag(parseReference(name));
}
