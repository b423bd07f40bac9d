import type { Lineage, LineageNode } from '../lineage/types.ts';
import { groupBy } from './finding.ts';

/** A commit of a repository that Dockerfiles of lineages were taken from; asked about once. */
export interface WatchedSource {
  readonly repository: string;
  /** Branch or tag said to hold the commit. */
  readonly ref?: string;
  readonly commit: string;
  readonly uses: readonly { readonly lineage: Lineage; readonly node: LineageNode }[];
}

/** Lists the places the Dockerfiles of lineages were taken from, each once. */
export function watchedSources(lineages: readonly Lineage[]): readonly WatchedSource[] {
  const uses = lineages.flatMap((lineage) =>
    lineage.nodes.flatMap((node) => {
      const { location } = node.dockerfile;
      return location === undefined ? [] : [{ lineage, node, location }];
    }),
  );
  const places = groupBy(uses, ({ location: { repository, ref, commit } }) =>
    JSON.stringify([repository, ref, commit]),
  );
  return [...places.values()].map((group) => {
    const { repository, ref, commit } = group[0]!.location;
    return { repository, ...(ref === undefined ? {} : { ref }), commit, uses: group };
  });
}
