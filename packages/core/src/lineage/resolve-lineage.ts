import {
  DEFAULT_PLATFORM,
  type ImageReference,
  normalizePlatform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import { idOf } from './names.ts';
import { limitsOf, type ResolveLineageOptions } from './options.ts';
import type { Lineage, LineageEdge, LineageNode } from './types.ts';
import { Walk } from './walk.ts';

/**
 * Resolves where an image came from, down to `scratch`: each image's Dockerfile, the base its FROM names, and the images it
 * copies from, each edge with its evidence and a grade that is never guessed.
 *
 * What cannot be known ends a path and is a gap; only an image nobody knows at all throws.
 *
 * @throws {@link RegistryError} `INVALID_REFERENCE`; `NOT_FOUND`, `AUTH_REQUIRED` or `DENIED` for the image asked about, when
 * no source knows it either. {@link CoreError} `INVALID_OPTIONS` for a limit below 1.
 */
export async function resolveLineage(
  reference: string | ImageReference,
  options: ResolveLineageOptions,
): Promise<Lineage> {
  const named = withDefaultTag(typeof reference === 'string' ? parseReference(reference) : reference);
  const platform = normalizePlatform(options.platform ?? DEFAULT_PLATFORM);
  limitsOf(options);
  const walk = new Walk(options, platform);
  await walk.visit(named, [], undefined);
  return {
    root: idOf(named, platform),
    platform,
    ...(options.asOf === undefined ? {} : { asOf: options.asOf.toISOString() }),
    nodes: walk.nodes,
    edges: inOrder(walk.edges, walk.nodes),
    conflicts: walk.conflicts,
    gaps: walk.gaps,
  };
}

/** Edges in the order of the images they start from. */
function inOrder(edges: readonly LineageEdge[], nodes: readonly LineageNode[]): readonly LineageEdge[] {
  const position = new Map(nodes.map(({ id }, index) => [id, index]));
  return [...edges].sort((left, right) => (position.get(left.from) ?? 0) - (position.get(right.from) ?? 0));
}
