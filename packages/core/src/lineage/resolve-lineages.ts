import {
  formatPlatform,
  formatReference,
  type ImageReference,
  isAttestation,
  normalizePlatform,
  type Platform,
  parseReference,
  resolveImage,
  withDefaultTag,
} from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import { createLineageCache, type LineageCache } from './lineage-cache.ts';
import type { ResolveLineageOptions } from './options.ts';
import { resolveLineage } from './resolve-lineage.ts';
import { sharedFetcher } from './shared-services.ts';
import { spine } from './spine.ts';
import type { Lineage, LineageNode } from './types.ts';

/** Options of {@link resolveLineages}. */
export interface ResolveLineagesOptions extends Omit<ResolveLineageOptions, 'platform'> {
  /** Which platforms; `all` is every one the index offers (needs `registry`). @defaultValue all */
  readonly platforms?: readonly Platform[] | 'all';
}

/** Platforms that share one lineage: same Dockerfiles, same edges, same grades. */
export interface LineageGroup {
  readonly platforms: readonly Platform[];
  /** The lineage of the first of them; ids and digests are that platform's. */
  readonly lineage: Lineage;
}

/** One thing the platforms of an image do not agree on. */
export interface PlatformDivergence {
  readonly code: 'PLATFORM_SOURCE_DIFFERS' | 'PLATFORM_BASES_DIFFER';
  /** Formatted platforms by what they say; a missing source is `none`. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** The lineages of an image, platform by platform. Plain data. */
export interface LineageSet {
  readonly groups: readonly LineageGroup[];
  readonly divergences: readonly PlatformDivergence[];
}

const MAX_PLATFORMS = 64;

/**
 * Resolves one lineage per platform, collapses those that are equal, and tells where platforms diverge.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for no platform, more than 64, or `all` without a registry.
 * @throws {@link RegistryError} as {@link resolveLineage}.
 */
export async function resolveLineages(
  reference: string | ImageReference,
  options: ResolveLineagesOptions,
): Promise<LineageSet> {
  const named = withDefaultTag(typeof reference === 'string' ? parseReference(reference) : reference);
  const { platforms: wanted = 'all', cache = createLineageCache(), ...rest } = options;
  const platforms = unique(wanted === 'all' ? await offered(named, { ...options, cache }) : wanted);
  if (platforms.length === 0 || platforms.length > MAX_PLATFORMS) {
    throw new CoreError(
      'INVALID_OPTIONS',
      `lineages of ${formatReference(named)}: expected 1 to ${MAX_PLATFORMS} platforms, received ${platforms.length}`,
    );
  }
  const lineages = await Promise.all(
    platforms.map((platform) => resolveLineage(named, { ...rest, cache, platform })),
  );
  const groups = groupBy(lineages, shapeOf);
  return {
    groups: [...groups.values()].flatMap((members) => {
      const [lineage] = members;
      return lineage === undefined ? [] : [{ platforms: members.map(({ platform }) => platform), lineage }];
    }),
    divergences: [
      ...divergence('PLATFORM_SOURCE_DIFFERS', lineages, (lineage) => sourceOf(lineage.nodes[0])),
      ...divergence('PLATFORM_BASES_DIFFER', lineages, basesOf),
    ],
  };
}

async function offered(
  named: ImageReference,
  { registry, cache, signal }: ResolveLineagesOptions & { readonly cache: LineageCache },
): Promise<readonly Platform[]> {
  if (registry === undefined) {
    throw new CoreError('INVALID_OPTIONS', "platforms: 'all' needs a registry to list them");
  }
  const source = sharedFetcher(registry, cache);
  const found = await source.fetchManifest(named, { signal });
  if (found.kind !== 'index') {
    const { platform } = await resolveImage(named, { source, signal });
    return [platform];
  }
  return found.index.manifests.flatMap((child) =>
    child.platform === undefined || isAttestation(child) ? [] : [child.platform],
  );
}

function unique(platforms: readonly Platform[]): readonly Platform[] {
  return [...new Map(platforms.map(normalizePlatform).map((each) => [formatPlatform(each), each])).values()];
}

function divergence(
  code: PlatformDivergence['code'],
  lineages: readonly Lineage[],
  value: (lineage: Lineage) => string,
): readonly PlatformDivergence[] {
  const groups = groupBy(lineages, value);
  if (groups.size < 2) return [];
  const values = [...groups].map(([said, members]): [string, readonly string[]] => [
    said,
    members.map(({ platform }) => formatPlatform(platform)),
  ]);
  return [{ code, values: Object.fromEntries(values) }];
}

function groupBy(lineages: readonly Lineage[], key: (lineage: Lineage) => string): Map<string, Lineage[]> {
  const groups = new Map<string, Lineage[]>();
  for (const lineage of lineages) groups.set(key(lineage), [...(groups.get(key(lineage)) ?? []), lineage]);
  return groups;
}

function sourceOf(node: LineageNode | undefined): string {
  const { location, digest } = node?.dockerfile ?? {};
  return location === undefined
    ? (digest ?? 'none')
    : `${location.repository}#${location.commit}:${location.path}`;
}

function basesOf(lineage: Lineage): string {
  const names = spine(lineage).map(
    ({ reference, end }) => `${formatReference(reference)}${end === undefined ? '' : ` (${end})`}`,
  );
  return names.slice(1).join(' <- ') || 'none';
}

/** All that makes two lineages the same but for the platform in their ids. */
function shapeOf(lineage: Lineage): string {
  const position = new Map(lineage.nodes.map(({ id }, index) => [id, index]));
  return JSON.stringify([
    lineage.nodes.map((node) => [
      formatReference(node.reference),
      sourceOf(node),
      node.dockerfile.digest,
      node.dockerfile.status,
      node.dockerfile.consistency,
      node.end,
    ]),
    lineage.edges.map(({ kind, from, to, name, grade }) => [
      kind,
      position.get(from),
      position.get(to),
      name,
      grade,
    ]),
    lineage.gaps.map(({ code }) => code),
  ]);
}
