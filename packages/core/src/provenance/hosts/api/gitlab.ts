import type { RefReader } from '../../../drift/types.ts';
import { CoreError } from '../../../errors.ts';
import type { Reachability, SourceHost } from '../../../lineage/types.ts';
import type { KeptAnswer } from '../../web/answer-cache.ts';
import { blobId } from '../git/git-object.ts';
import { commitIn, property, toQuery } from '../input.ts';
import { type TreeFile, toTreeFile } from '../tree-file.ts';
import type { HostApi, HostQuestion } from './api.ts';
import { apiHost } from './api-host.ts';
import { type ApiHostOptions, defaultBranch, type HostDialect, openSite } from './dialect.ts';
import { toIdentity } from './identity.ts';

/** Options of {@link gitLabHost}. */
export interface GitLabHostOptions extends ApiHostOptions {
  /** Where repositories are named; any GitLab. @defaultValue `https://gitlab.com` */
  readonly webUrl?: string;
  /** @defaultValue `<webUrl>/api/v4` */
  readonly apiUrl?: string;
  /** A personal, group, project or OAuth access token that may `read_api`. Sent to `apiUrl` only. */
  readonly token?: string;
}

/**
 * Creates the host for repositories on gitlab.com, or on a GitLab of one's own by its URL; projects may be in groups of
 * groups. Files are checked against the object id GitLab gives for them.
 *
 * @see https://docs.gitlab.com/api/repositories/
 */
export function gitLabHost(options: GitLabHostOptions = {}): SourceHost & RefReader {
  return apiHost(gitLabDialect(options), options);
}

function gitLabDialect(options: GitLabHostOptions): HostDialect {
  const { web, site, api } = openSite(options, { webUrl: 'https://gitlab.com', apiPath: '/api/v4' });
  const project = (name: string) => `/projects/${encodeURIComponent(name)}`;
  const below = (name: string) => `${project(name)}/repository`;
  const fileUrl = (name: string, commit: string, path: string) =>
    `${below(name)}/files/${encodeURIComponent(path)}/raw?ref=${commit}`;
  return {
    web,
    site,
    isName: (name) => /^\w[\w.-]*(?:\/\w[\w.-]*)+$/.test(name),
    fileUrl: (name, commit, path) => api.url(fileUrl(name, commit, path)),
    async readFile(name, commit, path, question) {
      const check = ({ headers, body }: KeptAnswer) => {
        const id = headers['x-gitlab-blob-id'];
        if (id === undefined || blobId(body, id) === id) return;
        throw new CoreError('SOURCE_INVALID', `${question.operation}: expected object ${id.slice(0, 64)}`);
      };
      return (await api.read(fileUrl(name, commit, path), { ...question, check }))?.body;
    },
    hasRepository: async (name, question) => (await api.json(project(name), question)) !== undefined,
    hasCommit: async (name, commit, question) =>
      (await api.json(`${below(name)}/commits/${commit}`, question)) !== undefined,
    listFiles: (name, commit, directory, question) =>
      listFiles(api, below(name), commit, directory, question),
    openArchive: (name, commit, directory, _files, question) => {
      const query = toQuery({ sha: commit, path: directory === '.' ? undefined : directory });
      return api.download(`${below(name)}/archive.tar.gz?${query}`, question);
    },
    async commitOf(name, path, asOf, question) {
      const query = toQuery({ path, per_page: '1', until: asOf?.toISOString() });
      const commits = await api.json(`${below(name)}/commits?${query}`, question);
      return Array.isArray(commits) ? commitIn(commits[0], 'id') : undefined;
    },
    reachability: (name, commit, _ref, question) => reachability(api, below(name), commit, question),
    async refOf(name, ref, question) {
      const named = ref ?? (await defaultBranch(api, project(name), question));
      if (named === undefined) return undefined;
      const list = named.kind === 'branch' ? 'branches' : 'tags';
      const answer = await api.json(`${below(name)}/${list}/${encodeURIComponent(named.short)}`, question);
      return property(answer, 'name') === named.short
        ? commitIn(property(answer, 'commit'), 'id')
        : undefined;
    },
    treeOf: (name, commit, directory, question) => treeOf(api, below(name), commit, directory, question),
    committedAt: async (name, commit, question) =>
      property(await api.json(`${below(name)}/commits/${commit}`, question), 'committed_date'),
    async identityOf(name, question) {
      const answer = await api.json(project(name), question);
      return toIdentity(site, {
        id: property(answer, 'id'),
        path: property(answer, 'path_with_namespace'),
        createdAt: property(answer, 'created_at'),
      });
    },
  };
}

/** GitLab says which branches and tags hold a commit; those of merge requests from forks are not among them. */
async function reachability(
  api: HostApi,
  repository: string,
  commit: string,
  question: HostQuestion,
): Promise<Reachability> {
  const refs = await api.json(`${repository}/commits/${commit}/refs?type=all&per_page=1`, question);
  if (refs === undefined) return 'unreachable';
  if (!Array.isArray(refs))
    throw new CoreError('SOURCE_INVALID', `${question.operation}: the answer is no list`);
  return refs.some((ref) => ['branch', 'tag'].includes(String(property(ref, 'type'))))
    ? 'reachable'
    : 'unreachable';
}

async function listFiles(
  api: HostApi,
  repository: string,
  commit: string,
  directory: string,
  { maxEntries, ...question }: HostQuestion & { readonly maxEntries: number },
): Promise<readonly TreeFile[] | undefined> {
  const root = directory === '.' ? undefined : directory;
  const query = toQuery({ ref: commit, path: root, recursive: 'true', ...PAGING });
  const prefix = directory === '.' ? '' : `${directory}/`;
  const files: TreeFile[] = [];
  // Directories are listed too.
  const maxPages = Math.ceil(maxEntries / 50) + 1;
  for await (const entries of api.pages(`${repository}/tree?${query}`, question, { maxPages })) {
    for (const entry of entries) {
      const file = toTreeFile(entry, prefix, question.operation);
      if (file !== undefined) files.push(file);
    }
    if (files.length > maxEntries) break;
  }
  return files.length === 0 ? undefined : files;
}

const PAGING = { per_page: '100', pagination: 'keyset' } as const;

/** The id of a directory's tree stands in the listing of its parent; that of the root stands nowhere. */
async function treeOf(
  api: HostApi,
  repository: string,
  commit: string,
  directory: string,
  question: HostQuestion,
): Promise<string | undefined> {
  if (directory === '.') return undefined;
  const slash = directory.lastIndexOf('/');
  const parent = slash < 0 ? undefined : directory.slice(0, slash);
  const query = toQuery({ ref: commit, path: parent, ...PAGING });
  for await (const entries of api.pages(`${repository}/tree?${query}`, question, { maxPages: 20 })) {
    const found = entries.find(
      (entry) => property(entry, 'path') === directory && property(entry, 'type') === 'tree',
    );
    if (found !== undefined) return commitIn(found, 'id');
  }
  return undefined;
}
