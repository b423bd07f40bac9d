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
} from './git-queries.ts';
import {
  answerJson,
  type Call,
  commitJson,
  dispatch,
  type HostedRepositories,
  identityOf,
  type Routes,
} from './git-routes.ts';
import { type HostFaults, type LoopbackHost, sendJson, startLoopbackHost } from './loopback.ts';

/** Options of {@link startGitea}. */
export interface GiteaOptions extends HostedRepositories {
  readonly faults?: HostFaults;
  /** Lists commits of any date whatever `until` says, as Gitea did before 1.23. */
  readonly ignoresUntil?: boolean;
}

/** A running Gitea. */
export interface Gitea extends LoopbackHost {
  /** Stands for `https://codeberg.org/api/v1`. */
  readonly apiUrl: string;
}

/**
 * Starts the part of Gitea's API that tells repositories, commits, trees, files and archives, out of real bare
 * repositories; and cgit's plain files, `/<name>/plain/<path>?id=<commit>`.
 *
 * @see https://docs.gitea.com/api/
 */
export async function startGitea(options: GiteaOptions): Promise<Gitea> {
  const host = await startLoopbackHost(async (request, response) => {
    if (!(await dispatch(routesOf(options), options, request, response))) notFound(response);
  }, options.faults);
  return { ...host, apiUrl: `${host.url}/api/v1` };
}

function routesOf({ ignoresUntil = false }: GiteaOptions): Routes {
  const at = (rest: string) => new RegExp(`^/api/v1/repos/([^/]+/[^/]+)${rest}$`);
  return {
    notFound,
    movedTo: (name, rest) => `/api/v1/repos/${name}${rest}`,
    routes: [
      [at(''), repositoryInfo],
      [at('/raw/(.+)'), (call, path) => rawFile(call, call.query.get('ref') ?? 'HEAD', path)],
      [at('/git/trees/([^/]+)'), treeListing],
      [at('/git/commits/([^/]+)'), commitInfo],
      [at('/commits'), (call) => commitList(call, ignoresUntil)],
      [at('/compare/(.+)\\.\\.\\.(.+)'), comparison],
      [at('/(branches|tags)'), refList],
      [at('/(branches|tags)/(.+)'), refInfo],
      [at('/archive/([0-9a-f]+)\\.tar\\.gz'), archive],
      [/^\/([^/]+\/[^/]+)\/plain\/(.*)$/, plainFile],
      [/^\/([^/]+\/[^/]+)\/commit\/$/, commitPage],
      [/^\/([^/]+\/[^/]+)\/$/, async ({ response }) => void response.end('<html></html>')],
    ],
  };
}

function notFound(response: ServerResponse): void {
  sendJson(response, 404, { errors: null, message: 'not found', url: 'https://codeberg.org/api/swagger' });
}

async function repositoryInfo(call: Call): Promise<void> {
  const { id, createdAt } = identityOf(call.hosted, call.name);
  const web = `https://codeberg.org/${call.name}`;
  answerJson(call, {
    ...{ id, full_name: call.name, created_at: createdAt, fork: false, html_url: web },
    default_branch: await defaultBranch(call.repository),
  });
}

async function rawFile({ repository, response }: Call, ref: string, path = ''): Promise<void> {
  const entry = await findEntry(repository, await commitId(repository, ref), path);
  if (entry?.type !== 'blob') notFound(response);
  else {
    const content = await readBlob(repository, entry.id);
    response.writeHead(200, { 'content-type': 'text/plain', etag: `"${entry.id}"` }).end(content);
  }
}

/** cgit lists a directory where it is asked for as a file. */
async function plainFile(call: Call, path = ''): Promise<void> {
  const { repository, query, response } = call;
  const commit = await commitId(repository, query.get('id') ?? 'HEAD');
  const directory = path.replace(/\/$/, '');
  const entry = directory === '' ? undefined : await findEntry(repository, commit, directory);
  if (entry?.type === 'blob') await rawFile(call, commit, path);
  else if (directory !== '' && entry === undefined) response.writeHead(404).end('Not found');
  else {
    const title = directory === '' ? '/' : `/${directory}/`;
    response.writeHead(200, { 'content-type': 'text/html; charset=UTF-8' });
    response.end(`<html><head><title>${title}</title></head>\n<body>\n <h2>${title}</h2></body></html>`);
  }
}

/** cgit's page of a commit, as far as its table of who and when. */
async function commitPage({ repository, query, response }: Call): Promise<void> {
  const [commit] = await listCommits(repository, [await commitId(repository, query.get('id') ?? 'HEAD')], {
    count: 1,
  });
  const date = (committed = '') => `${committed.slice(0, 10)} ${committed.slice(11, 19)} +0000`;
  const row = (who: string, when?: string) =>
    `<tr><th>${who}</th><td>A. Person &lt;a@imagevet.example&gt;</td><td class='right'>${date(when)}</td></tr>\n`;
  response.writeHead(200, { 'content-type': 'text/html; charset=UTF-8' });
  response.end(
    `<html><body><table summary='commit info' class='commit-info'>\n${row('author', commit?.authored)}${row('committer', commit?.committed)}</table>\n<div class='commit-subject'>${commit?.subject}</div></body></html>`,
  );
}

async function treeListing(call: Call, ref = ''): Promise<void> {
  const { repository, query } = call;
  const sha = await commitId(repository, ref);
  const listed = await listTree(repository, sha, { recursive: query.get('recursive') !== null });
  const size = Math.min(Number(query.get('per_page') ?? 1000), 1000);
  const page = Number(query.get('page') ?? 1);
  const tree = listed
    .slice((page - 1) * size, page * size)
    .map(({ path, mode, type, id, size: bytes = 0 }) => ({ path, mode, type, size: bytes, sha: id }));
  answerJson(call, { sha, tree, truncated: page * size < listed.length, page, total_count: listed.length });
}

async function commitInfo(call: Call, sha = ''): Promise<void> {
  const [commit] = await listCommits(call.repository, [await commitId(call.repository, sha)], { count: 1 });
  answerJson(call, commitJson(commit!));
}

async function commitList(call: Call, ignoresUntil: boolean): Promise<void> {
  const { repository, query, request } = call;
  const count = Number(query.get('limit') ?? 30);
  const page = Number(query.get('page') ?? 1);
  const from = await commitId(repository, query.get('sha') ?? 'HEAD');
  const until = ignoresUntil ? null : query.get('until');
  const options = { until, path: query.get('path'), count: count + 1, skip: (page - 1) * count };
  const listed = await listCommits(repository, [from], options);
  const { pathname } = new URL(request.url ?? '/', 'http://host');
  const following = new URLSearchParams(query);
  following.set('page', String(page + 1));
  const link = `<http://${request.headers.host}${pathname}?${following}>; rel="next"`;
  answerJson(call, listed.slice(0, count).map(commitJson), listed.length > count ? { link } : {});
}

async function comparison(call: Call, base = '', head = ''): Promise<void> {
  const [from, to] = await Promise.all([base, head].map((one) => commitId(call.repository, one)));
  const commits = await listCommits(call.repository, [to!, `^${from}`], {});
  answerJson(call, { total_commits: commits.length, commits: commits.map(commitJson) });
}

async function refList(call: Call, list = ''): Promise<void> {
  const kind = list === 'tags' ? 'tag' : 'branch';
  const refs = (await listRefs(call.repository)).filter((ref) => ref.kind === kind);
  answerJson(call, refs.slice(0, Number(call.query.get('limit') ?? 30)).map(refJson));
}

async function refInfo(call: Call, list = '', name = ''): Promise<void> {
  const kind = list === 'tags' ? 'tag' : 'branch';
  const found = (await listRefs(call.repository)).find((ref) => ref.kind === kind && ref.name === name);
  if (found === undefined || (await findCommit(call.repository, found.commit)) === undefined)
    notFound(call.response);
  else answerJson(call, refJson(found));
}

function refJson({
  kind,
  name,
  commit,
}: {
  readonly kind: string;
  readonly name: string;
  readonly commit: string;
}): unknown {
  return { name, commit: kind === 'tag' ? { sha: commit } : { id: commit } };
}

async function archive({ repository, name, response }: Call, sha = ''): Promise<void> {
  const commit = await commitId(repository, sha);
  const content = await archiveOf(repository, commit, name.split('/')[1] ?? '');
  response.writeHead(200, { 'content-type': 'application/gzip' }).end(content);
}
