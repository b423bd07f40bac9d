import type { Reachability, RepositoryIdentity } from '../../../lineage/types.ts';
import { type HttpOptions, WebClient } from '../../web/web-client.ts';
import { type NamedRef, property } from '../input.ts';
import type { TreeFile } from '../tree-file.ts';
import { HostApi, type HostQuestion } from './api.ts';

/** Options of every host that is read by a web API. */
export interface ApiHostOptions extends HttpOptions {
  /** Largest file {@link SourceHost.readFile} accepts, in bytes. @defaultValue 16777216 */
  readonly maxFileBytes?: number;
  /** Largest tree {@link SourceHost.readDirectory} accepts, unpacked, in bytes. @defaultValue 536870912 */
  readonly maxTreeBytes?: number;
  /** Most files {@link SourceHost.readDirectory} accepts. @defaultValue 20000 */
  readonly maxEntries?: number;
  /** Answers kept in memory, in bytes; a file at a commit never changes. @defaultValue 33554432 */
  readonly cacheBytes?: number;
}

/** What asks for a host. */
export function webOf(options: ApiHostOptions): WebClient {
  return new WebClient(options, options.cacheBytes ?? 32 * 1024 * 1024);
}

/** What asks for a host that anybody may run: its site, and the API of that site or at a URL of its own. */
export function openSite(
  options: ApiHostOptions & {
    readonly webUrl?: string;
    readonly apiUrl?: string;
    readonly token?: string;
  },
  usual: { readonly webUrl: string; readonly apiPath: string },
): { readonly web: WebClient; readonly site: string; readonly api: HostApi } {
  const web = webOf(options);
  const site = (options.webUrl ?? usual.webUrl).replace(/\/+$/, '');
  const headers: Readonly<Record<string, string>> =
    options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  return { web, site, api: new HostApi(options.apiUrl ?? `${site}${usual.apiPath}`, headers, web) };
}

/** How one kind of host is asked. `name` is a repository's path on its site; commits and paths were checked before. */
export interface HostDialect {
  readonly web: WebClient;
  /** Where repositories are named: `https://github.com`. */
  readonly site: string;
  /** Tells whether a path on the site can be a repository's. */
  isName(name: string): boolean;
  /** Where a file is read from. */
  fileUrl(name: string, commit: string, path: string): string;
  /** Undefined when it is not there, for whatever reason. */
  readFile(
    name: string,
    commit: string,
    path: string,
    question: HostQuestion & { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined>;
  hasRepository(name: string, question: HostQuestion): Promise<boolean>;
  hasCommit(name: string, commit: string, question: HostQuestion): Promise<boolean>;
  /** Every file at or below a directory (`.` for all), at most `maxEntries`; undefined when there is no such commit. */
  listFiles(
    name: string,
    commit: string,
    directory: string,
    question: HostQuestion & { readonly maxEntries: number },
  ): Promise<readonly TreeFile[] | undefined>;
  /** A gzipped tar archive that holds those files, or some of them; undefined when there is none that can be used. */
  openArchive(
    name: string,
    commit: string,
    directory: string,
    files: readonly TreeFile[],
    question: HostQuestion & { readonly maxBytes: number },
  ): Promise<AsyncIterable<Uint8Array> | undefined>;
  commitOf(
    name: string,
    path: string,
    asOf: Date | undefined,
    question: HostQuestion,
  ): Promise<string | undefined>;
  reachability(
    name: string,
    commit: string,
    ref: NamedRef | undefined,
    question: HostQuestion,
  ): Promise<Reachability>;
  /** The commit a branch or tag names, or with undefined the default branch. */
  refOf(name: string, ref: NamedRef | undefined, question: HostQuestion): Promise<string | undefined>;
  treeOf(
    name: string,
    commit: string,
    directory: string,
    question: HostQuestion,
  ): Promise<string | undefined>;
  /** ISO 8601 time of a commit, by its committer; undefined when it is not there. */
  committedAt(name: string, commit: string, question: HostQuestion): Promise<unknown>;
  /** Undefined when there is no such repository, or the host does not say which one it is. */
  identityOf(name: string, question: HostQuestion): Promise<RepositoryIdentity | undefined>;
}

/** The default branch, where the API tells of it with the repository. */
export async function defaultBranch(
  api: HostApi,
  repository: string,
  question: HostQuestion,
): Promise<NamedRef | undefined> {
  const branch = property(await api.json(repository, question), 'default_branch');
  return typeof branch === 'string' ? { kind: 'branch', short: branch } : undefined;
}
