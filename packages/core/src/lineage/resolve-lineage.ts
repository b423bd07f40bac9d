import {
  DEFAULT_PLATFORM,
  type ImageReference,
  normalizePlatform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import { idOf } from './base/names.ts';
import { LineageDraft } from './draft.ts';
import { createLineageCache } from './lineage-cache.ts';
import { NodeReader } from './node/node-reader.ts';
import { limitsOf, type ResolveLineageOptions, timeAsked } from './options.ts';
import type { Lineage, LineageEdge, LineageNode } from './types.ts';
import { Walk } from './walk.ts';

/**
 * Resolves where an image came from, down to `scratch`: each image's Dockerfile, the base its FROM names, and the images it
 * copies from, each edge with its evidence and a grade that is never guessed.
 *
 * What cannot be known ends a path and is a gap; only an image nobody knows at all throws. Questions that do not wait for each
 * other are asked at once; the same answers give the same lineage, in whichever order they come.
 *
 * @throws {@link RegistryError} `INVALID_REFERENCE`; `NOT_FOUND`, `AUTH_REQUIRED` or `DENIED` for the image asked about, when
 * no source knows it either. {@link CoreError} `INVALID_OPTIONS` for a limit below 1 or an invalid date.
 */
export async function resolveLineage(
  reference: string | ImageReference,
  options: ResolveLineageOptions,
): Promise<Lineage> {
  const named = withDefaultTag(typeof reference === 'string' ? parseReference(reference) : reference);
  const platform = normalizePlatform(options.platform ?? DEFAULT_PLATFORM);
  limitsOf(options);
  const { cache = createLineageCache() } = options;
  const asOf = timeAsked(options);
  options.signal?.throwIfAborted();
  const ended = new AbortController();
  const signal =
    options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
  const draft = new LineageDraft();
  const walk = new Walk(draft, new NodeReader(options, { cache, signal }), options);
  const root = idOf(named, platform);
  try {
    await walk.visit({
      ...{ id: root, reference: named, platform, isRoot: true },
      ...(asOf instanceof Date ? { upTo: asOf } : {}),
    });
  } finally {
    // What was read ahead and is not needed must not go on.
    ended.abort();
  }
  return {
    root,
    platform,
    ...(asOf === undefined ? {} : { asOf: asOf === 'build' ? asOf : asOf.toISOString() }),
    nodes: draft.nodes,
    edges: inOrder(draft.edges, draft.nodes),
    conflicts: draft.conflicts,
    gaps: draft.gaps,
  };
}

/** Edges in the order of the images they start from. */
function inOrder(edges: readonly LineageEdge[], nodes: readonly LineageNode[]): readonly LineageEdge[] {
  const position = new Map(nodes.map(({ id }, index) => [id, index]));
  return [...edges].sort((left, right) => (position.get(left.from) ?? 0) - (position.get(right.from) ?? 0));
}
