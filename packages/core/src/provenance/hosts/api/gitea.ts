import type { RefReader } from '../../../drift/types.ts';
import { CoreError } from '../../../errors.ts';
import type { Reachability, SourceHost } from '../../../lineage/types.ts';
import { commitIn, encodePath, property, toQuery } from '../input.ts';
import type { TreeFile } from '../tree-file.ts';
import type { HostApi, HostQuestion, Page } from './api.ts';
import { apiHost } from './api-host.ts';
import { type ApiHostOptions, defaultBranch, type HostDialect, openSite } from './dialect.ts';
import { toTreeFiles } from './github-tree.ts';
import { toIdentity } from './identity.ts';

/** Options of {@link giteaHost}. */
export interface GiteaHostOptions extends ApiHostOptions {
  /** Where repositories are named; any Gitea or Forgejo. @defaultValue `https://codeberg.org` */
  readonly webUrl?: string;
  /** @defaultValue `<webUrl>/api/v1` */
  readonly apiUrl?: string;
  /** Sent to `apiUrl` only. */
  readonly token?: string;
}

/**
 * Creates the host for repositories on Codeberg, or on a Gitea or Forgejo of one's own by its URL.
 *
 * @see https://codeberg.org/api/swagger
 */
export function giteaHost(options: GiteaHostOptions = {}): SourceHost & RefReader {
  return apiHost(giteaDialect(options), options);
}

function giteaDialect(options: GiteaHostOptions): HostDialect {
  const { web, site, api } = openSite(options, { webUrl: 'https://codeberg.org', apiPath: '/api/v1' });
  const below = (name: string) => `/repos/${name}`;
  const file = (name: string, commit: string, path: string) =>
    `${below(name)}/raw/${encodePath(path)}?ref=${commit}`;
  const refOf: HostDialect['refOf'] = async (name, ref, question) => {
    const named = ref ?? (await defaultBranch(api, below(name), question));
    if (named === undefined) return undefined;
    const list = named.kind === 'branch' ? 'branches' : 'tags';
    const answer = await api.json(`${below(name)}/${list}/${encodePath(named.short)}`, question);
    if (property(answer, 'name') !== named.short) return undefined;
    return commitIn(property(answer, 'commit'), named.kind === 'branch' ? 'id' : 'sha');
  };
  return {
    web,
    site,
    isName: (name) => /^[\w-][\w.-]*\/[\w.-]+$/.test(name) && !/\/\.\.?$/.test(name),
    fileUrl: (name, commit, path) => api.url(file(name, commit, path)),
    readFile: async (name, commit, path, question) =>
      (await api.read(file(name, commit, path), question))?.body,
    hasRepository: async (name, question) => (await api.json(below(name), question)) !== undefined,
    hasCommit: async (name, commit, question) =>
      (await api.json(`${below(name)}/git/commits/${commit}?${BARE}`, question)) !== undefined,
    listFiles: (name, commit, directory, question) =>
      listFiles(api, below(name), commit, directory, question),
    openArchive: (name, commit, _directory, _files, question) =>
      api.download(`${below(name)}/archive/${commit}.tar.gz`, question),
    async commitOf(name, path, asOf, question) {
      // Servers before 1.23 know no `until`: the list is read from the newest on.
      const query = toQuery({
        path,
        limit: asOf === undefined ? '1' : '50',
        until: asOf?.toISOString(),
      });
      const first = `${below(name)}/commits?${query}&${BARE}`;
      for await (const commits of api.pages(first, question, { maxPages: 50 })) {
        const found = commits.find((commit) => {
          const date = property(property(property(commit, 'commit'), 'committer'), 'date');
          return asOf === undefined || Date.parse(String(date)) <= asOf.getTime();
        });
        if (found !== undefined) return commitIn(found, 'sha');
      }
      return undefined;
    },
    reachability: (name, commit, ref, question) =>
      reachability(api, below(name), commit, question, [
        ...(ref === undefined ? [] : [() => refOf(name, ref, question)]),
        () => refOf(name, undefined, question),
      ]),
    refOf,
    treeOf: async () => undefined,
    async committedAt(name, commit, question) {
      const found = await api.json(`${below(name)}/git/commits/${commit}?${BARE}`, question);
      return property(property(property(found, 'commit'), 'committer'), 'date');
    },
    async identityOf(name, question) {
      const answer = await api.json(below(name), question);
      return toIdentity(site, {
        id: property(answer, 'id'),
        path: property(answer, 'full_name'),
        createdAt: property(answer, 'created_at'),
      });
    },
  };
}

/** Leaves out of commits what takes the server long. */
const BARE = 'stat=false&verification=false&files=false';

async function listFiles(
  api: HostApi,
  repository: string,
  commit: string,
  directory: string,
  { maxEntries, ...question }: HostQuestion & { readonly maxEntries: number },
): Promise<readonly TreeFile[] | undefined> {
  const url = (page: number) => `${repository}/git/trees/${commit}?recursive=true&per_page=1000&page=${page}`;
  let page = 1;
  // `truncated` says that there are more pages.
  const toPage = (body: unknown): Page | undefined => {
    const entries = property(body, 'tree');
    const more = property(body, 'truncated') === true && Array.isArray(entries) && entries.length > 0;
    page += 1;
    return Array.isArray(entries) ? { values: entries, ...(more ? { next: url(page) } : {}) } : undefined;
  };
  let known = false;
  const files: TreeFile[] = [];
  // Directories are listed too.
  const maxPages = Math.ceil(maxEntries / 500) + 1;
  for await (const tree of api.pages(url(page), question, { maxPages, toPage })) {
    known = true;
    files.push(...toTreeFiles({ tree }, directory, question.operation));
    if (files.length > maxEntries) break;
  }
  return known ? files : undefined;
}

/** A branch or tag holds a commit when comparing the two finds no commit that is only the latter's. */
async function reachability(
  api: HostApi,
  repository: string,
  commit: string,
  question: HostQuestion,
  first: readonly (() => Promise<string | undefined>)[],
): Promise<Reachability> {
  const asked = new Set<string>();
  const holds = async (tip: string | undefined): Promise<boolean> => {
    if (tip === undefined || asked.has(tip)) return false;
    if (tip === commit) return true;
    asked.add(tip);
    const comparison = await api.json(`${repository}/compare/${tip}...${commit}`, question);
    return property(comparison, 'total_commits') === 0;
  };
  for (const tip of first) if (await holds(await tip())) return 'reachable';
  if ((await api.json(`${repository}/git/commits/${commit}?${BARE}`, question)) === undefined)
    return 'unreachable';
  const tips: string[] = [];
  try {
    for (const [list, id] of [
      ['branches', 'id'],
      ['tags', 'sha'],
    ] as const) {
      for await (const refs of api.pages(`${repository}/${list}?limit=50`, question, { maxPages: 4 }))
        tips.push(...refs.flatMap((ref) => commitIn(property(ref, 'commit'), id) ?? []));
    }
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_LIMIT_EXCEEDED') return 'unchecked';
    throw error;
  }
  if (tips.includes(commit)) return 'reachable';
  const rest = [...new Set(tips)].filter((tip) => !asked.has(tip));
  for (const tip of rest.slice(0, MAX_TIPS)) if (await holds(tip)) return 'reachable';
  return rest.length <= MAX_TIPS ? 'unreachable' : 'unchecked';
}

/** Each costs a request. */
const MAX_TIPS = 40;
