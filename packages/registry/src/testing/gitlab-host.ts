import { createHash } from 'node:crypto';
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
  dispatch,
  type HostedRepositories,
  identityOf,
  type Routes,
} from './git-routes.ts';
import { type HostFaults, type LoopbackHost, sendJson, startLoopbackHost } from './loopback.ts';

/** Options of {@link startGitLab}. */
export interface GitLabOptions extends HostedRepositories {
  readonly faults?: HostFaults;
  /** Pages by number and not by the last entry, as GitLab did before 15.0. */
  readonly pagesByNumber?: boolean;
}

/** A running GitLab. */
export interface GitLab extends LoopbackHost {
  /** Stands for `https://gitlab.com/api/v4`. */
  readonly apiUrl: string;
}

/**
 * Starts the part of GitLab's REST API that tells repositories, commits, trees, files and archives, out of real bare
 * repositories. Names may have any number of segments.
 *
 * @see https://docs.gitlab.com/api/repositories/
 */
export async function startGitLab(options: GitLabOptions): Promise<GitLab> {
  const host = await startLoopbackHost(async (request, response) => {
    if (!(await dispatch(routesOf(options), options, request, response))) notFound(response, 'Project');
  }, options.faults);
  return { ...host, apiUrl: `${host.url}/api/v4` };
}

function routesOf({ pagesByNumber = false }: GitLabOptions): Routes {
  const project = String.raw`^\/api\/v4\/projects\/([^/]+)`;
  const at = (rest: string) => new RegExp(`${project}${rest}$`);
  return {
    notFound: (response) => notFound(response, 'Commit'),
    movedTo: (_name, rest, id) => `/api/v4/projects/${id}${rest}`,
    routes: [
      [at(''), projectInfo],
      [at('/repository/files/([^/]+)/raw'), rawFile],
      [at('/repository/tree'), (call) => treeListing(call, pagesByNumber)],
      [at('/repository/archive\\.tar\\.gz'), archive],
      [at('/repository/commits'), commitList],
      [at('/repository/commits/([^/]+)'), commitInfo],
      [at('/repository/commits/([^/]+)/refs'), refsOfCommit],
      [at('/repository/(branches|tags)/([^/]+)'), refInfo],
    ],
  };
}

function notFound(response: ServerResponse, what: string): void {
  sendJson(response, 404, { message: `404 ${what} Not Found` });
}

async function projectInfo(call: Call): Promise<void> {
  const { name, repository, hosted } = call;
  const { id, createdAt } = identityOf(hosted, name);
  const web = `https://gitlab.example/${name}`;
  answerJson(call, {
    id,
    path_with_namespace: name,
    default_branch: await defaultBranch(repository),
    created_at: createdAt.replace(/Z$/, '.000Z'),
    visibility: 'public',
    web_url: web,
    http_url_to_repo: `${web}.git`,
  });
}

async function rawFile({ repository, query, response }: Call, path = ''): Promise<void> {
  const commit = await commitId(repository, query.get('ref') ?? 'HEAD');
  const entry = await findEntry(repository, commit, path);
  if (entry?.type !== 'blob') {
    notFound(response, 'File');
    return;
  }
  const content = await readBlob(repository, entry.id);
  response.writeHead(200, {
    'content-type': 'text/plain; charset=utf-8',
    'x-gitlab-blob-id': entry.id,
    'x-gitlab-commit-id': commit,
    'x-gitlab-content-sha256': createHash('sha256').update(content).digest('hex'),
    'x-gitlab-file-path': encodeURIComponent(path),
    'x-gitlab-size': String(content.byteLength),
  });
  response.end(content);
}

async function treeListing(call: Call, byNumber: boolean): Promise<void> {
  const { repository, query, request, response } = call;
  const commit = await commitId(repository, query.get('ref') ?? 'HEAD');
  const path = query.get('path') ?? '';
  const listed = await listTree(repository, commit, { path, recursive: query.get('recursive') === 'true' });
  if (listed.length === 0) {
    notFound(response, 'Tree');
    return;
  }
  const size = Number(query.get('per_page') ?? 20);
  const token = query.get('page_token');
  const after = token === null ? 0 : listed.findIndex(({ id }) => id === token) + 1;
  const start = byNumber ? (Number(query.get('page') ?? 1) - 1) * size : after;
  const entries = listed.slice(start, start + size);
  const next = new URLSearchParams(query);
  if (byNumber) next.set('page', String(Math.floor(start / size) + 2));
  else next.set('page_token', entries.at(-1)?.id ?? '');
  const { pathname } = new URL(request.url ?? '/', 'http://host');
  const here = `http://${request.headers.host}${pathname}`;
  const link = `<${here}?${next}>; rel="next", <${here}?per_page=${size}>; rel="first"`;
  answerJson(
    call,
    entries.map(({ id, type, path, mode }) => ({ id, name: path.split('/').at(-1), type, path, mode })),
    start + size < listed.length ? { link } : {},
  );
}

async function archive({ repository, name, query, response }: Call): Promise<void> {
  const commit = await commitId(repository, query.get('sha') ?? 'HEAD');
  const path = query.get('path');
  const prefix = [name.split('/').at(-1), commit, commit, ...(path?.split('/') ?? [])].join('-');
  const content = await archiveOf(repository, commit, prefix, path);
  response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(content);
}

async function commitList(call: Call): Promise<void> {
  const { repository, query } = call;
  const from = await commitId(repository, query.get('ref_name') ?? 'HEAD');
  const listed = await listCommits(repository, [from], {
    until: query.get('until'),
    path: query.get('path'),
    count: Number(query.get('per_page') ?? 20),
  });
  answerJson(
    call,
    listed.map(({ id, parents, committed, subject }) => ({
      ...{ id, short_id: id.slice(0, 8), parent_ids: parents, title: subject, committed_date: committed },
    })),
  );
}

async function commitInfo(call: Call, sha = ''): Promise<void> {
  const id = await commitId(call.repository, sha);
  const [commit] = await listCommits(call.repository, [id], { count: 1 });
  answerJson(call, { id, parent_ids: commit?.parents, committed_date: commit?.committed });
}

async function refsOfCommit(call: Call, sha = ''): Promise<void> {
  const { repository, query, response } = call;
  const id = await findCommit(repository, sha);
  if (id === undefined) {
    notFound(response, 'Commit');
    return;
  }
  const type = query.get('type') ?? 'all';
  const refs = (await listRefs(repository, id)).filter(({ kind }) => type === 'all' || type === kind);
  const page = refs.slice(0, Number(query.get('per_page') ?? 20));
  answerJson(
    call,
    page.map(({ kind, name }) => ({ type: kind, name })),
  );
}

async function refInfo(call: Call, list = '', name = ''): Promise<void> {
  const kind = list === 'tags' ? 'tag' : 'branch';
  const found = (await listRefs(call.repository)).find((ref) => ref.kind === kind && ref.name === name);
  if (found === undefined) notFound(call.response, kind === 'tag' ? 'Tag' : 'Branch');
  else answerJson(call, { name, commit: { id: found.commit } });
}
