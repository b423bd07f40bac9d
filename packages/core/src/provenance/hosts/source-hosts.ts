import type { OperationOptions } from '@imagevet/registry';
import type { RefReader } from '../../drift/types.ts';
import { CoreError } from '../../errors.ts';
import type { Reachability, SourceEntry, SourceHost } from '../../lineage/types.ts';

/**
 * Combines hosts: each repository is read from the first that supports it.
 *
 * @throws {@link CoreError} `SOURCE_UNSUPPORTED` from every method when none does, and from `refOf` when it cannot read refs
 */
export function sourceHosts(hosts: readonly (SourceHost & Partial<RefReader>)[]): SourceHost & RefReader {
  const find = (repository: string): SourceHost & Partial<RefReader> => {
    const host = hosts.find((candidate) => candidate.supports(repository));
    if (host !== undefined) return host;
    throw new CoreError('SOURCE_UNSUPPORTED', `no host reads ${JSON.stringify(repository.slice(0, 200))}`, {
      hint: 'Add a gitMirrorHost() that has a mirror of it.',
      details: { repository: repository.slice(0, 200) },
    });
  };
  return {
    supports: (repository) => hosts.some((host) => host.supports(repository)),
    readFile: async (repository, commit, path, options) =>
      find(repository).readFile(repository, commit, path, options),
    async *readDirectory(
      repository: string,
      commit: string,
      directory: string,
      options?: OperationOptions,
    ): AsyncGenerator<SourceEntry> {
      yield* find(repository).readDirectory(repository, commit, directory, options);
    },
    commitOf: async (repository, path, options) => find(repository).commitOf(repository, path, options),
    reachability: async (repository, commit, options): Promise<Reachability> =>
      find(repository).reachability(repository, commit, options),
    refOf: async (repository, ref, options) => {
      const host = find(repository);
      if (host.refOf !== undefined) return host.refOf(repository, ref, options);
      throw new CoreError('SOURCE_UNSUPPORTED', `the host of ${repository.slice(0, 200)} reads no refs`);
    },
    treeOf: async (repository, commit, directory, options) =>
      find(repository).treeOf?.(repository, commit, directory, options),
    committedAt: async (repository, commit, options) =>
      find(repository).committedAt?.(repository, commit, options),
    identityOf: async (repository, options) => find(repository).identityOf?.(repository, options),
  };
}
