import type { Fetcher, ImageReference } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { Lineage } from '../lineage/types.ts';
import { askWitnesses } from '../lineage/witnesses.ts';
import { publicServices } from '../provenance/public-services.ts';
import type { VetOptions } from './types.ts';

export function traceLineage(image: ImageReference, options: VetOptions): Promise<Lineage> {
  const wired = options.registry !== undefined && options.sources !== undefined && options.host !== undefined;
  const services = wired ? undefined : publicServices({ internalRegistries: [image.registry] });
  return resolveLineage(image, {
    registry: options.registry ?? services?.registry,
    sources: options.sources ?? services?.sources ?? [],
    host: options.host ?? services?.host,
    platform: options.platform,
    asOf: options.asOf,
    ...(options.buildArgs === undefined ? {} : { buildArgs: options.buildArgs }),
    ...(options.otherVersions === undefined ? {} : { otherVersions: options.otherVersions }),
    ...(options.cache === undefined ? {} : { cache: options.cache }),
    signal: options.signal,
    onProgress: options.onProgress,
  });
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
