import type { ServerResponse } from 'node:http';
import {
  archiveOf,
  commitId,
  defaultBranch,
  findCommit,
  findEntry,
  listCommits,
  listRefs,
  listTree,
  readBlob,
  type TreeLine,
} from './git-queries.ts';
import {
  answerJson,
  type Call,
  dispatch,
  type HostedRepositories,
  identityOf,
  type Routes,
} from './git-routes.ts';
import { type HostFaults, type LoopbackHost, sendJson, startLoopbackHost } from './loopback.ts';

/** Options of {@link startBitbucket}. */
export interface BitbucketOptions extends HostedRepositories {
  readonly faults?: HostFaults;
}

/** A running Bitbucket. */
export interface Bitbucket extends LoopbackHost {
  /** Stands for `https://api.bitbucket.org/2.0`. */
  readonly apiUrl: string;
}

/**
 * Starts the part of Bitbucket Cloud's REST API that tells repositories, commits, refs and files, and the archives of its
 * web site, out of real bare repositories.
 *
 * @see https://developer.atlassian.com/cloud/bitbucket/rest/
 */
export async function startBitbucket(options: BitbucketOptions): Promise<Bitbucket> {
  const host = await startLoopbackHost(async (request, response) => {
    if (!(await dispatch(ROUTES, options, request, response))) notFound(response);
  }, options.faults);
  return { ...host, apiUrl: `${host.url}/2.0` };
}

const at = (rest: string) => new RegExp(`^/2\\.0/repositories/([^/]+/[^/]+)${rest}$`);

const ROUTES: Routes = {
  notFound,
  movedTo: (name, rest) => `/2.0/repositories/${name}${rest}`,
  routes: [
    [at(''), repositoryInfo],
    [at('/src/([0-9a-f]+)/(.*)'), source],
    [at('/commit/([0-9a-f]+)'), commitInfo],
    [at('/commits'), commitList],
    [at('/commits/(.+)'), commitList],
    [at('/refs'), refList],
    [at('/refs/(branches|tags)/([^/]+)'), refInfo],
    [/^\/([^/]+\/[^/]+)\/get\/([0-9a-f]+)\.tar\.gz$/, archive],
  ],
};

function notFound(response: ServerResponse): void {
  sendJson(response, 404, { type: 'error', error: { message: 'Resource not found' } });
}

async function repositoryInfo(call: Call): Promise<void> {
  const { id, createdAt } = identityOf(call.hosted, call.name);
  answerJson(call, {
    type: 'repository',
    uuid: `{00000000-0000-4000-8000-${String(id).padStart(12, '0')}}`,
    full_name: call.name,
    created_on: createdAt.replace(/Z$/, '.000000+00:00'),
    is_private: false,
    mainbranch: { type: 'branch', name: await defaultBranch(call.repository) },
  });
}

/** A file, or the list of a directory. */
async function source(call: Call, sha = '', path = ''): Promise<void> {
  const { repository, query, response } = call;
  const commit = await commitId(repository, sha);
  const directory = path.replace(/\/+$/, '');
  const entry = directory === '' ? undefined : await findEntry(repository, commit, directory);
  if (entry?.type === 'blob' && !path.endsWith('/')) {
    if (query.get('format') === 'meta') answerJson(call, fileJson(entry, commit));
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(await readBlob(repository, entry.id));
    return;
  }
  if (directory !== '' && entry?.type !== 'tree') {
    notFound(response);
    return;
  }
  const depth = Number(query.get('max_depth') ?? 1);
  const below = directory === '' ? 0 : directory.split('/').length;
  const listed = await listTree(repository, commit, { path: directory, recursive: true });
  const shown = listed.filter((one) => one.path.split('/').length - below <= depth);
  page(
    call,
    shown.map((one) => fileJson(one, commit)),
  );
}

function fileJson({ path, type, mode, size }: TreeLine, commit: string): unknown {
  const commitLink = { type: 'commit', hash: commit };
  if (type === 'tree') return { type: 'commit_directory', path: `${path}`, commit: commitLink };
  const attributes =
    { '120000': ['link'], '100755': ['executable'], '160000': ['subrepository'] }[mode] ?? [];
  return { type: 'commit_file', path, size: size ?? 0, attributes, mimetype: null, commit: commitLink };
}

async function commitInfo(call: Call, sha = ''): Promise<void> {
  const hash = await commitId(call.repository, sha);
  const [commit] = await listCommits(call.repository, [hash], { count: 1 });
  answerJson(call, { type: 'commit', hash, date: commit?.committed });
}

async function commitList(call: Call, revision?: string): Promise<void> {
  const { repository, query, response } = call;
  const named = [...(revision === undefined ? [] : [revision]), ...query.getAll('include')];
  const include = await Promise.all(named.map((one) => findCommit(repository, one)));
  const exclude = await Promise.all(query.getAll('exclude').map((one) => findCommit(repository, one)));
  if ([...include, ...exclude].includes(undefined)) {
    notFound(response);
    return;
  }
  const revisions = [...include, ...exclude.map((one) => `^${one}`)].map(String);
  const listed = await listCommits(repository, revisions, { path: query.get('path') });
  page(
    call,
    listed.map(({ id, committed, subject }) => ({
      type: 'commit',
      hash: id,
      date: committed,
      message: subject,
    })),
  );
}

async function refList(call: Call): Promise<void> {
  const refs = await listRefs(call.repository);
  page(
    call,
    refs.map(({ kind, name, commit }) => ({ type: kind, name, target: { type: 'commit', hash: commit } })),
  );
}

async function refInfo(call: Call, list = '', name = ''): Promise<void> {
  const kind = list === 'tags' ? 'tag' : 'branch';
  const found = (await listRefs(call.repository)).find((ref) => ref.kind === kind && ref.name === name);
  if (found === undefined) notFound(call.response);
  else answerJson(call, { type: kind, name, target: { type: 'commit', hash: found.commit } });
}

async function archive({ repository, name, response }: Call, sha = ''): Promise<void> {
  const commit = await commitId(repository, sha);
  const content = await archiveOf(repository, commit, `${name.replace('/', '-')}-${commit.slice(0, 12)}`);
  response.writeHead(200, { 'content-type': 'application/x-gzip' }).end(content);
}

/** One page of a list, with the URL of the next. */
function page(call: Call, values: readonly unknown[]): void {
  const { request, query } = call;
  const size = Number(query.get('pagelen') ?? 10);
  const number = Number(query.get('page') ?? 1);
  const { pathname } = new URL(request.url ?? '/', 'http://host');
  const following = new URLSearchParams(query);
  following.set('page', String(number + 1));
  const more = number * size < values.length;
  const next = more ? { next: `http://${request.headers.host}${pathname}?${following}` } : {};
  answerJson(call, {
    values: values.slice((number - 1) * size, number * size),
    pagelen: size,
    page: number,
    ...next,
  });
}
