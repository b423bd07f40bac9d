import type { RefReader } from '../../../drift/types.ts';
import type { SourceHost } from '../../../lineage/types.ts';
import { commitIn, encodePath, type NamedRef, property } from '../input.ts';
import { HostApi, type HostQuestion, valuesPage } from './api.ts';
import { apiHost } from './api-host.ts';
import { hasExactArchive, isListing, listFiles } from './bitbucket-files.ts';
import { reachability } from './bitbucket-reachability.ts';
import { type ApiHostOptions, type HostDialect, webOf } from './dialect.ts';
import { toIdentity } from './identity.ts';

/** Options of {@link bitbucketHost}. */
export interface BitbucketHostOptions extends ApiHostOptions {
  /** Where repositories are named. @defaultValue `https://bitbucket.org` */
  readonly webUrl?: string;
  /** @defaultValue `https://api.bitbucket.org/2.0` */
  readonly apiUrl?: string;
  /** Where archives are. @defaultValue `webUrl` */
  readonly archiveUrl?: string;
  /** A repository, project or workspace access token that may read repositories. Sent to `apiUrl` only. */
  readonly token?: string;
}

/**
 * Creates the host for repositories on Bitbucket Cloud. Bitbucket tells no object ids, so that a file is what Bitbucket says
 * it is at that commit; a git mirror checks more.
 *
 * @see https://developer.atlassian.com/cloud/bitbucket/rest/
 */
export function bitbucketHost(options: BitbucketHostOptions = {}): SourceHost & RefReader {
  return apiHost(bitbucketDialect(options), options);
}

function bitbucketDialect(options: BitbucketHostOptions): HostDialect {
  const web = webOf(options);
  const { webUrl = 'https://bitbucket.org', token } = options;
  const api = new HostApi(
    options.apiUrl ?? 'https://api.bitbucket.org/2.0',
    token === undefined ? {} : { authorization: `Bearer ${token}` },
    web,
  );
  // Archives are the web site's, which takes no token: those of private repositories are read file by file.
  const site = new HostApi(options.archiveUrl ?? webUrl, {}, web);
  const below = (name: string) => `/repositories/${name}`;
  const file = (name: string, commit: string, path: string) =>
    `${below(name)}/src/${commit}/${encodePath(path)}`;
  const mainBranch = async (name: string, question: HostQuestion): Promise<NamedRef | undefined> => {
    const short = property(property(await api.json(below(name), question), 'mainbranch'), 'name');
    return typeof short === 'string' ? { kind: 'branch', short } : undefined;
  };
  const refOf: HostDialect['refOf'] = async (name, ref, question) => {
    const named = ref ?? (await mainBranch(name, question));
    if (named === undefined) return undefined;
    const list = named.kind === 'branch' ? 'branches' : 'tags';
    const answer = await api.json(`${below(name)}/refs/${list}/${encodeURIComponent(named.short)}`, question);
    return property(answer, 'name') === named.short
      ? commitIn(property(answer, 'target'), 'hash')
      : undefined;
  };
  const readFile: HostDialect['readFile'] = async (name, commit, path, question) => {
    const answer = await api.read(file(name, commit, path), question);
    if (answer === undefined || !isListing(answer.body)) return answer?.body;
    // A directory is answered as a list of its files, which a file may have as its content.
    const meta = await api.json(`${file(name, commit, path)}?format=meta`, question);
    return property(meta, 'type') === 'commit_file' ? answer.body : undefined;
  };
  return {
    web,
    site: webUrl,
    isName: (name) => /^[\w-][\w.-]*\/[\w.-]+$/.test(name) && !/\/\.\.?$/.test(name),
    fileUrl: (name, commit, path) => api.url(file(name, commit, path)),
    readFile,
    hasRepository: async (name, question) => (await api.json(below(name), question)) !== undefined,
    hasCommit: async (name, commit, question) =>
      (await api.json(`${below(name)}/commit/${commit}`, question)) !== undefined,
    listFiles: (name, commit, directory, question) =>
      listFiles(api, below(name), commit, directory, question),
    async openArchive(name, commit, directory, files, question) {
      const read = (path: string) => readFile(name, commit, path, { ...question, maxBytes: MAX_ATTRIBUTES });
      if (!(await hasExactArchive(directory, files, read))) return undefined;
      return site.download(`/${name}/get/${commit}.tar.gz`, question);
    },
    async commitOf(name, path, asOf, question) {
      const tip = await refOf(name, undefined, question);
      if (tip === undefined) return undefined;
      // There is no question for a date: the list is read from the newest on.
      const query = new URLSearchParams({ path, pagelen: asOf === undefined ? '1' : '100' });
      const first = `${below(name)}/commits/${tip}?${query}`;
      for await (const commits of api.pages(first, question, { maxPages: 50, toPage: valuesPage })) {
        const found = commits.find((commit) => isNotAfter(property(commit, 'date'), asOf));
        if (found !== undefined) return commitIn(found, 'hash');
      }
      return undefined;
    },
    reachability: (name, commit, ref, question) =>
      reachability(api, below(name), commit, question, (kind) =>
        kind === 'hint' && ref === undefined
          ? Promise.resolve(undefined)
          : refOf(name, kind === 'hint' ? ref : undefined, question),
      ),
    refOf,
    treeOf: async () => undefined,
    committedAt: async (name, commit, question) =>
      property(await api.json(`${below(name)}/commit/${commit}`, question), 'date'),
    async identityOf(name, question) {
      const answer = await api.json(below(name), question);
      return toIdentity(webUrl, {
        id: property(answer, 'uuid'),
        path: property(answer, 'full_name'),
        createdAt: property(answer, 'created_on'),
      });
    },
  };
}

const MAX_ATTRIBUTES = 1024 * 1024;

function isNotAfter(date: unknown, asOf: Date | undefined): boolean {
  return asOf === undefined || Date.parse(String(date)) <= asOf.getTime();
}
