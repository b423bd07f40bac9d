import { RegistryError } from '../errors.ts';
import { MAX_CONFIG_BYTES, parseImageConfig } from '../oci/config.ts';
import { fitOf, isAttestation, normalizePlatform } from '../oci/platform.ts';
import { selectPlatform } from '../oci/platform-choice.ts';
import { refuseSchema1 } from '../oci/schema1.ts';
import type { Descriptor, ImageConfig, ImageIndex, Platform, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference } from '../reference.ts';
import type { Fetcher } from './interfaces.ts';
import { readBlob } from './read.ts';

const MAX_INDEX_DEPTH = 4;
/** Entries without a platform that are read to find out what they are. */
const MAX_PROBES = 16;

/** An image of an index. */
export interface SelectedImage {
  readonly found: Exclude<VerifiedManifest, { readonly kind: 'index' }>;
  /** What the index says of it. */
  readonly offered: Descriptor;
}

/** From which registry's repository, and for which platform. */
interface Selection extends OperationOptions {
  readonly source: Fetcher;
  readonly reference: ImageReference;
  readonly platform: Platform;
}

/**
 * Chooses a platform's image of an index, through indexes in it. Where the index names no fitting platform, entries of which
 * it does not say what they are for are read, up to a bound: their configs say it.
 *
 * @throws {@link RegistryError} `PLATFORM_NOT_FOUND`, `LIMIT_EXCEEDED`, `SIZE_MISMATCH`, `AMBIGUOUS_MANIFEST`
 */
export async function selectImage(index: ImageIndex, selection: Selection): Promise<SelectedImage> {
  return select(index, selection, 1, { probes: MAX_PROBES });
}

async function select(
  index: ImageIndex,
  selection: Selection,
  depth: number,
  left: { probes: number },
): Promise<SelectedImage> {
  let offered: Descriptor;
  try {
    offered = selectPlatform(index, selection.platform);
  } catch (error) {
    const probed = await probe(index, selection, depth, left);
    if (probed === undefined) throw error;
    return probed;
  }
  const found = await fetchOffered(offered, selection);
  if (found.kind !== 'index') return { found, offered };
  return select(found.index, selection, deeper(depth, selection), left);
}

/** The best of the entries without a platform; undefined when none fits. */
async function probe(
  index: ImageIndex,
  selection: Selection,
  depth: number,
  left: { probes: number },
): Promise<SelectedImage | undefined> {
  const wanted = normalizePlatform(selection.platform);
  let best: (SelectedImage & { readonly fit: number }) | undefined;
  for (const offered of index.manifests) {
    if (offered.platform !== undefined || isAttestation(offered) || !isReadable(offered)) continue;
    if (left.probes === 0) break;
    left.probes -= 1;
    const found = await fetchOffered(offered, selection);
    if (found.kind === 'index') {
      const inside = await select(found.index, selection, deeper(depth, selection), left).catch(unlessAbsent);
      if (inside !== undefined) return inside;
      continue;
    }
    const fit = await fitOfImage(found, wanted, selection);
    if (typeof fit === 'number' && (best === undefined || fit > best.fit)) best = { found, offered, fit };
  }
  return best;
}

/** What its config says it is for; an artifact has none. */
async function fitOfImage(
  found: VerifiedManifest,
  wanted: Platform,
  { source, reference, signal }: Selection,
) {
  const current = refuseSchema1(found);
  if (
    current.kind !== 'image' ||
    !/(?:image\.config\.v1|container\.image\.v1)\+json$/.test(current.manifest.config.mediaType)
  )
    return undefined;
  const limit = { signal, maxBytes: MAX_CONFIG_BYTES };
  const config = await readBlob(source, reference, current.manifest.config, limit);
  return fitOf(platformOf(parseImageConfig(config)), wanted);
}

/** Reads what an index names, and holds it against what the index says of it. */
async function fetchOffered(
  offered: Descriptor,
  { source, reference, signal }: Selection,
): Promise<VerifiedManifest> {
  const { registry, repository } = reference;
  const found = await source.fetchManifest({ registry, repository, digest: offered.digest }, { signal });
  if (found.descriptor.size !== offered.size) {
    throw new RegistryError('SIZE_MISMATCH', `manifest ${offered.digest}: expected ${offered.size} bytes`);
  }
  if (found.descriptor.mediaType !== offered.mediaType) {
    throw new RegistryError(
      'AMBIGUOUS_MANIFEST',
      `manifest ${offered.digest} is ${found.descriptor.mediaType}, its index says ${offered.mediaType}`,
    );
  }
  return found;
}

/** What a config says its image is for. */
export function platformOf(config: ImageConfig): Platform {
  return normalizePlatform({
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
    ...(config['os.version'] === undefined ? {} : { 'os.version': config['os.version'] }),
    ...(config['os.features'] === undefined ? {} : { 'os.features': config['os.features'] }),
  });
}

function deeper(depth: number, { reference }: Selection): number {
  if (depth < MAX_INDEX_DEPTH) return depth + 1;
  throw new RegistryError(
    'LIMIT_EXCEEDED',
    `${formatReference(reference)}: indexes nested deeper than ${MAX_INDEX_DEPTH}`,
  );
}

function isReadable({ mediaType }: Descriptor): boolean {
  return /(?:manifest|index)[\w.]*\+json$/.test(mediaType);
}

function unlessAbsent(error: unknown): undefined {
  if (!(error instanceof RegistryError && error.code === 'PLATFORM_NOT_FOUND')) throw error;
}
