import type { RefReader } from '../../../drift/types.ts';
import type { SourceHost } from '../../../lineage/types.ts';
import { commitIn, encodePath, property } from '../input.ts';
import { HostApi } from './api.ts';
import { apiHost } from './api-host.ts';
import { type ApiHostOptions, type HostDialect, webOf } from './dialect.ts';
import { reachability } from './github-reachability.ts';
import { refOf } from './github-refs.ts';
import { toTreeFiles, toTreeId } from './github-tree.ts';
import { toIdentity } from './identity.ts';

/** Options of {@link gitHubHost}. */
export interface GitHubHostOptions extends ApiHostOptions {
  /** Where repositories are named. @defaultValue `https://github.com` */
  readonly webUrl?: string;
  /** @defaultValue `https://api.github.com` */
  readonly apiUrl?: string;
  /** Files at a commit; not counted against the API's budget. @defaultValue `https://raw.githubusercontent.com` */
  readonly rawUrl?: string;
  /** Where the API redirects downloads to. @defaultValue `https://codeload.github.com` */
  readonly archiveUrl?: string;
  /** Sent to `apiUrl` only. Without one the API answers 60 requests an hour. */
  readonly token?: string;
}

/**
 * Creates the host for repositories on GitHub (or GitHub Enterprise, by its URLs). Every file of a directory is
 * checked against the object id its tree names. GitHub serves commits of forks under the parent's name:
 * only {@link SourceHost.reachability} tells whether a commit is the repository's own.
 *
 * @see https://docs.github.com/en/rest
 */
export function gitHubHost(options: GitHubHostOptions = {}): SourceHost & RefReader {
  return apiHost(gitHubDialect(options), options);
}

function gitHubDialect(options: GitHubHostOptions): HostDialect {
  const web = webOf(options);
  const { token, webUrl: site = 'https://github.com', archiveUrl = 'https://codeload.github.com' } = options;
  const raw = new HostApi(options.rawUrl ?? 'https://raw.githubusercontent.com', {}, web);
  const api = new HostApi(
    options.apiUrl ?? 'https://api.github.com',
    {
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    web,
  );
  const filePath = (name: string, commit: string, path: string) => `/${name}/${commit}/${encodePath(path)}`;
  return {
    web,
    site,
    isName: (name) => /^[\w-][\w.-]*\/[\w.-]+$/.test(name) && !/\/\.\.?$/.test(name),
    fileUrl: (name, commit, path) => raw.url(filePath(name, commit, path)),
    async readFile(name, commit, path, question) {
      const file = await raw.read(filePath(name, commit, path), question);
      if (file !== undefined) return file.body;
      if (token === undefined) return undefined;
      // Raw files take no token; the API reads files of private repositories.
      const url = `/repos/${name}/contents/${encodePath(path)}?ref=${commit}`;
      const found = await api.json(url, question);
      if (property(found, 'encoding') !== 'base64') return undefined;
      return Buffer.from(String(property(found, 'content')), 'base64');
    },
    hasRepository: async (name, question) => (await api.json(`/repos/${name}`, question)) !== undefined,
    hasCommit: async (name, commit, question) =>
      (await api.json(`/repos/${name}/git/commits/${commit}`, question)) !== undefined,
    async listFiles(name, commit, directory, question) {
      const tree = await api.json(`/repos/${name}/git/trees/${commit}?recursive=1`, question);
      return tree === undefined ? undefined : toTreeFiles(tree, directory, question.operation);
    },
    openArchive: (name, commit, _directory, _files, question) =>
      api.download(`/repos/${name}/tarball/${commit}`, {
        ...question,
        redirectOrigins: [new URL(archiveUrl).origin],
      }),
    async commitOf(name, path, asOf, question) {
      const query = new URLSearchParams({ path, per_page: '1' });
      if (asOf !== undefined) query.set('until', `${asOf.toISOString().slice(0, 19)}Z`);
      const commits = await api.json(`/repos/${name}/commits?${query}`, question);
      return Array.isArray(commits) ? commitIn(commits[0], 'sha') : undefined;
    },
    reachability: (name, commit, ref, question) => reachability(api, name, commit, ref, question),
    refOf: (name, ref, question) => refOf(api, name, ref, question),
    async treeOf(name, commit, directory, question) {
      // The requests anonymous callers have are for what only they can tell.
      if (token === undefined) return undefined;
      const path = directory === '.' ? `git/commits/${commit}` : `git/trees/${commit}?recursive=1`;
      return toTreeId(await api.json(`/repos/${name}/${path}`, question), directory);
    },
    async committedAt(name, commit, question) {
      const found = await api.json(`/repos/${name}/git/commits/${commit}`, question);
      return property(property(found, 'committer'), 'date');
    },
    async identityOf(name, question) {
      // A name that was given up leads on to the repository that had it, until somebody else takes it.
      const answer = await api.json(`/repos/${name}`, question);
      return toIdentity(site, {
        id: property(answer, 'id'),
        path: property(answer, 'full_name'),
        createdAt: property(answer, 'created_at'),
      });
    },
  };
}
