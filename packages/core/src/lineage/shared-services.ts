import { type Fetcher, formatReference, type VerifiedManifest, withDefaultTag } from '@imagevet/registry';
import type { LineageCache } from './lineage-cache.ts';
import type { SourceHost } from './types.ts';

/** A host whose answers lineages share: each question is asked once for as long as the cache keeps the answer. */
export function sharedHost(host: SourceHost, cache: LineageCache): SourceHost {
  const key = (...parts: readonly unknown[]) => JSON.stringify(parts);
  const { treeOf, committedAt, identityOf } = host;
  return {
    supports: (repository) => host.supports(repository),
    readDirectory: (...asked) => host.readDirectory(...asked),
    readFile: (repository, commit, path, options) =>
      cache.remember(
        host,
        key('file', repository, commit, path),
        (signal) => host.readFile(repository, commit, path, { ...options, signal }),
        { signal: options?.signal, sizeOf: ({ content }) => content.byteLength },
      ),
    commitOf: (repository, path, options) =>
      cache.remember(
        host,
        key('commit', repository, path, options?.asOf?.getTime()),
        (signal) => host.commitOf(repository, path, { ...options, signal }),
        { signal: options?.signal },
      ),
    reachability: (repository, commit, options) =>
      cache.remember(
        host,
        key('reachability', repository, commit, options?.ref),
        (signal) => host.reachability(repository, commit, { ...options, signal }),
        { signal: options?.signal },
      ),
    ...(treeOf === undefined
      ? {}
      : {
          treeOf: (repository, commit, directory, options) =>
            cache.remember(
              host,
              key('tree', repository, commit, directory),
              (signal) => treeOf.call(host, repository, commit, directory, { ...options, signal }),
              { signal: options?.signal },
            ),
        }),
    ...(committedAt === undefined
      ? {}
      : {
          committedAt: (repository, commit, options) =>
            cache.remember(
              host,
              key('committed', repository, commit),
              (signal) => committedAt.call(host, repository, commit, { ...options, signal }),
              { signal: options?.signal },
            ),
        }),
    ...(identityOf === undefined
      ? {}
      : {
          identityOf: (repository, options) =>
            cache.remember(
              host,
              key('identity', repository),
              (signal) => identityOf.call(host, repository, { ...options, signal }),
              { signal: options?.signal },
            ),
        }),
  };
}

/** A registry whose manifests lineages share; one read by tag is known by its digest too. */
export function sharedFetcher(registry: Fetcher, cache: LineageCache): Fetcher {
  const sizeOf = ({ descriptor }: VerifiedManifest) => 2 * descriptor.size;
  return {
    resolve: (...asked) => registry.resolve(...asked),
    openBlob: (...asked) => registry.openBlob(...asked),
    fetchManifest: async (reference, options) => {
      const { signal } = options ?? {};
      const named = withDefaultTag(reference);
      const keyOf = (asked: typeof named) => `manifest ${formatReference(asked)}`;
      const load = (own: AbortSignal) => registry.fetchManifest(named, { ...options, signal: own });
      const found = await cache.remember(registry, keyOf(named), load, { signal, sizeOf });
      const known = keyOf({ ...named, tag: undefined, digest: found.descriptor.digest });
      return cache.remember(registry, known, async () => found, { sizeOf });
    },
  };
}

/** A host that is asked only when the cache lets. Not for sources, which are asked under that limit themselves. */
export function limitedHost(host: SourceHost, cache: LineageCache): SourceHost {
  const { treeOf, committedAt, identityOf } = host;
  return {
    ...host,
    readFile: (...asked) => cache.limited(() => host.readFile(...asked)),
    reachability: (...asked) => cache.limited(() => host.reachability(...asked)),
    ...(treeOf === undefined ? {} : { treeOf: (...asked) => cache.limited(() => treeOf(...asked)) }),
    ...(committedAt === undefined
      ? {}
      : { committedAt: (...asked) => cache.limited(() => committedAt(...asked)) }),
    ...(identityOf === undefined
      ? {}
      : { identityOf: (...asked) => cache.limited(() => identityOf(...asked)) }),
  };
}
