import type { OperationOptions } from '@imagevet/registry';
import type { Reachability, SourceHost } from '../lineage/types.ts';
import { failureOf } from './ask.ts';
import type { DriftFailure, RefReader } from './types.ts';
import type { WatchedSource } from './watched-sources.ts';

/** Reads repositories, and perhaps what their branches and tags name. */
export type SourceReader = SourceHost & Partial<RefReader>;

/** What a repository says of a commit and its ref now. */
export type SourceAnswer =
  | {
      readonly type: 'answered';
      /** What the ref, or without one the default branch, names; undefined when there is none. */
      readonly now?: string;
      /** Whether `now` was asked for. */
      readonly refRead: boolean;
      readonly reachability: Reachability;
      /** The host's id of the repository, where a lineage holds one to compare it with. */
      readonly identity?: string;
    }
  | { readonly type: 'failed'; readonly error: DriftFailure }
  | { readonly type: 'not-asked' };

/** Asks repositories; what a ref names is asked once, however many commits go by it. */
export function sourceAsker(
  host: SourceReader | undefined,
  options: OperationOptions,
): (source: WatchedSource) => Promise<SourceAnswer> {
  const refs = new Map<string, Promise<string | undefined>>();
  const identities = new Map<string, ReturnType<NonNullable<SourceHost['identityOf']>>>();
  const identityOf = (reader: SourceHost, repository: string) => {
    const asked = identities.get(repository) ?? reader.identityOf?.(repository, options);
    if (asked !== undefined) identities.set(repository, asked);
    return asked;
  };
  const refOf = (reader: RefReader, repository: string, ref: string) => {
    const key = JSON.stringify([repository, ref]);
    const asked = refs.get(key) ?? reader.refOf(repository, ref, options);
    refs.set(key, asked);
    return asked;
  };
  return async ({ repository, ref, commit, uses }) => {
    const { signal } = options;
    signal?.throwIfAborted();
    if (host?.supports(repository) !== true) return { type: 'not-asked' };
    try {
      // Asked without a ref too: it brings a mirror up to date before that answers what it holds.
      const now = canReadRefs(host) ? await refOf(host, repository, ref ?? 'HEAD') : undefined;
      const hint = ref === undefined ? options : { ...options, ref };
      const reachability = now === commit ? 'reachable' : await host.reachability(repository, commit, hint);
      const known = uses.some(({ node }) => node.dockerfile.repository !== undefined);
      const identity = known ? (await identityOf(host, repository))?.id : undefined;
      return {
        ...{ type: 'answered', refRead: canReadRefs(host), reachability },
        ...(now === undefined ? {} : { now }),
        ...(identity === undefined ? {} : { identity }),
      };
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      return { type: 'failed', error: failureOf(error) };
    }
  };
}

function canReadRefs(host: SourceReader): host is SourceHost & RefReader {
  return host.refOf !== undefined;
}
