import type { Fetcher, ImageReference } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import { createLineageCache } from '../lineage/lineage-cache.ts';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import { type PlatformDivergence, resolveLineages } from '../lineage/resolve-lineages.ts';
import type { Lineage } from '../lineage/types.ts';
import { askWitnesses } from '../lineage/witnesses.ts';
import { publicServices } from '../provenance/public-services.ts';
import { publicVersions } from '../provenance/public-versions.ts';
import { gapOf } from './gap-of.ts';
import type { VetOptions } from './types.ts';

/** The lineage of the image that is vetted, and what its other platforms have otherwise. */
export interface TracedImage {
  readonly lineage: Lineage;
  /** Absent when other platforms were not asked for, or could not be looked at. */
  readonly divergences?: readonly PlatformDivergence[];
  /** That other platforms could not be looked at. */
  readonly gaps: readonly Gap[];
}

export async function traceLineage(image: ImageReference, options: VetOptions): Promise<TracedImage> {
  const { otherPlatforms, signal } = options;
  const wired = options.registry !== undefined && options.sources !== undefined && options.host !== undefined;
  const services = wired ? undefined : publicServices({ internalRegistries: [image.registry] });
  const host = options.host ?? services?.host;
  const versions = services === undefined || host === undefined ? undefined : publicVersions({ host });
  const otherVersions = options.otherVersions ?? versions;
  const tracing = {
    registry: options.registry ?? services?.registry,
    sources: options.sources ?? services?.sources ?? [],
    host,
    asOf: options.asOf,
    ...(options.buildArgs === undefined ? {} : { buildArgs: options.buildArgs }),
    ...(otherVersions === undefined ? {} : { otherVersions }),
    ...{ cache: options.cache ?? createLineageCache(), signal },
  };
  const { platform, onProgress } = options;
  const lineage = await resolveLineage(image, { ...tracing, platform, onProgress });
  if (otherPlatforms === undefined) return { lineage, gaps: [] };
  const platforms = otherPlatforms === 'all' ? otherPlatforms : [lineage.platform, ...otherPlatforms];
  try {
    const { divergences } = await resolveLineages(image, { ...tracing, platforms });
    return { lineage, divergences, gaps: [] };
  } catch (error) {
    return { lineage, gaps: [gapOf('lineage', error, signal)] };
  }
}

export async function witnessed(lineage: Lineage, options: VetOptions): Promise<readonly Gap[]> {
  const { witnesses = [], signal } = options;
  if (witnesses.length === 0) return [];
  return askWitnesses(lineage, { registry: originals(lineage, options), witnesses, signal });
}

/** Reads the images the lineage is about. */
export function originals(lineage: Lineage, options: VetOptions): Fetcher {
  const root = lineage.nodes.find(({ id }) => id === lineage.root)?.reference.registry ?? 'docker.io';
  return options.registry ?? publicServices({ internalRegistries: [root] }).registry;
}
