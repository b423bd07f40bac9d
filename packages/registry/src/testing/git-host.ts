import type { ServerResponse } from 'node:http';
import { git } from './git.ts';
import { serveGit } from './git-http.ts';
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

/** Options of {@link startGitHost}. */
export interface GitHostOptions extends HostedRepositories {
  readonly faults?: HostFaults;
}

/** A running git host. */
export interface GitHost extends LoopbackHost {
  /** Stands for `https://api.github.com`. */
  readonly apiUrl: string;
  /** Stands for `https://raw.githubusercontent.com`. */
  readonly rawUrl: string;
  /** What `git clone` takes for a repository of this host. */
  cloneUrl(repository: string): string;
}

/**
 * Starts a git host in process, on a loopback port, that answers out of real bare repositories: the part of
 * GitHub's REST API that finds commits and trees, raw files, tarballs, and git's smart HTTP protocol.
 *
 * Like GitHub, it serves every commit the repository stores, even one no branch or tag holds.
 *
 * @see https://docs.github.com/en/rest
 */
export async function startGitHost(options: GitHostOptions): Promise<GitHost> {
  const host = await startLoopbackHost(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    const [, name = '', path = ''] =
      /^\/([^/]+\/[^/]+?)(?:\.git)?\/(info\/refs|git-upload-pack|HEAD|objects\/.+)$/.exec(pathname) ?? [];
    const cloned = Object.hasOwn(options.repositories, name) ? options.repositories[name] : undefined;
    if (cloned !== undefined) await serveGit(cloned, path, request, response);
    else if (!(await dispatch(ROUTES, options, request, response))) notFound(response);
  }, options.faults);
  return {
    ...host,
    apiUrl: `${host.url}/api`,
    rawUrl: `${host.url}/raw`,
    cloneUrl: (repository) => `${host.url}/${repository}.git`,
  };
}

/** A repository by its name, or by the number a name that was given up leads to. */
const at = (rest: string) =>
  new RegExp(`^/api/(?:repos|repositories(?=/\\d+(?:/|$)))/(\\d+(?=/|$)|[^/]+/[^/]+)${rest}$`);

const ROUTES: Routes = {
  notFound,
  movedTo: (name, rest, id, asked) =>
    asked.startsWith('/raw/') ? `/raw/${name}${rest}` : `/api/repositories/${id}${rest}`,
  routes: [
    [/^\/raw\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/, rawFile],
    [at(''), repositoryInfo],
    [at('/commits'), commitList],
    [at('/commits/(.+)'), commitInfo],
    [at('/compare/(.+)\\.\\.\\.(.+)'), comparison],
    [at('/(branches|tags)'), refList],
    [at('/git/trees/(.+)'), treeListing],
    [at('/git/commits/([0-9a-f]+)'), gitCommit],
    [at('/git/ref/(.+)'), gitRef],
    [at('/git/tags/([0-9a-f]+)'), gitTag],
    [at('/contents/(.+)'), contents],
    [at('/tarball/(.+)'), tarballRedirect],
    [/^\/archive\/([^/]+\/[^/]+)\/(.+)$/, tarball],
  ],
};

function notFound(response: ServerResponse): void {
  sendJson(response, 404, { message: 'Not Found', documentation_url: 'https://docs.github.com/rest' });
}

async function rawFile({ repository, request, response }: Call, ref = '', path = ''): Promise<void> {
  const entry = await findEntry(repository, await commitId(repository, ref), path);
  if (entry?.type !== 'blob') {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('404: Not Found');
    return;
  }
  const etag = `"${entry.id}"`;
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  const content = await readBlob(repository, entry.id);
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', etag }).end(content);
}

async function repositoryInfo(call: Call): Promise<void> {
  const { repository, name } = call;
  const { id, createdAt } = identityOf(call.hosted, name);
  answerJson(call, {
    id,
    node_id: Buffer.from(`010:Repository${id}`).toString('base64'),
    full_name: name,
    private: false,
    fork: false,
    created_at: createdAt,
    default_branch: await defaultBranch(repository),
  });
}

async function commitList(call: Call): Promise<void> {
  const { repository, query } = call;
  const from = await commitId(repository, query.get('sha') ?? 'HEAD');
  const listed = await listCommits(repository, [from], {
    until: query.get('until'),
    path: query.get('path'),
    count: Number(query.get('per_page') ?? 30),
  });
  answerJson(call, listed.map(commitJson));
}

async function commitInfo(call: Call, ref = ''): Promise<void> {
  const { repository, response } = call;
  const id = await findCommit(repository, ref);
  if (id === undefined) {
    sendJson(response, 422, { message: `No commit found for SHA: ${ref}` });
    return;
  }
  const [commit] = await listCommits(repository, [id], { count: 1 });
  answerJson(call, commitJson(commit!));
}

async function gitCommit(call: Call, sha = ''): Promise<void> {
  const id = await commitId(call.repository, sha);
  const [commit] = await listCommits(call.repository, [id], { count: 1 });
  answerJson(call, { sha: id, tree: { sha: commit?.tree }, committer: { date: commit?.committed } });
}

async function gitRef(call: Call, ref = ''): Promise<void> {
  answerJson(call, { ref: `refs/${ref}`, object: await objectOf(call.repository, `refs/${ref}`) });
}

async function gitTag(call: Call, sha = ''): Promise<void> {
  const text = (await git(call.repository, ['cat-file', 'tag', sha])).toString('utf8');
  const named = /^object ([0-9a-f]+)$/m.exec(text)?.[1] ?? '';
  answerJson(call, { sha, object: await objectOf(call.repository, named) });
}

async function objectOf(repository: string, name: string): Promise<{ type: string; sha: string }> {
  const sha = await git(repository, ['rev-parse', '--verify', '--quiet', '--end-of-options', name]);
  const type = await git(repository, ['cat-file', '-t', name]);
  return { type: type.toString('utf8').trim(), sha: sha.toString('utf8').trim() };
}

async function contents(call: Call, path = ''): Promise<void> {
  const { repository, query } = call;
  const id = await commitId(repository, query.get('ref') ?? 'HEAD');
  const content = await git(repository, ['cat-file', 'blob', `${id}:${path}`]);
  answerJson(call, { type: 'file', path, encoding: 'base64', content: content.toString('base64') });
}

async function comparison(call: Call, base = '', head = ''): Promise<void> {
  const { repository } = call;
  const [from, to] = await Promise.all([commitId(repository, base), commitId(repository, head)]);
  const mergeBase = (await git(repository, ['merge-base', from, to])).toString('utf8').trim();
  const counted = await git(repository, ['rev-list', '--left-right', '--count', `${from}...${to}`]);
  const [behind = 0, ahead = 0] = counted.toString('utf8').trim().split('\t').map(Number);
  answerJson(call, {
    status: compareStatus(ahead, behind),
    ahead_by: ahead,
    behind_by: behind,
    merge_base_commit: { sha: mergeBase },
  });
}

function compareStatus(ahead: number, behind: number): string {
  if (ahead === 0) return behind === 0 ? 'identical' : 'behind';
  return behind === 0 ? 'ahead' : 'diverged';
}

async function refList(call: Call, kind = ''): Promise<void> {
  const { repository, query } = call;
  const refs = (await listRefs(repository)).filter(
    (ref) => ref.kind === (kind === 'tags' ? 'tag' : 'branch'),
  );
  const size = Number(query.get('per_page') ?? 30);
  const start = (Number(query.get('page') ?? 1) - 1) * size;
  const page = refs.slice(start, start + size);
  answerJson(
    call,
    page.map(({ name, commit }) => ({ name, commit: { sha: commit } })),
  );
}

async function treeListing(call: Call, ref = ''): Promise<void> {
  const { repository, query } = call;
  const id = await commitId(repository, ref);
  const listed = await listTree(repository, id, { recursive: query.get('recursive') !== null });
  const tree = listed.map(({ path, mode, type, id: sha, size }) => ({ path, mode, type, sha, size }));
  answerJson(call, { sha: id, tree, truncated: false });
}

async function tarballRedirect({ repository, name, request, response }: Call, ref = ''): Promise<void> {
  const id = await commitId(repository, ref);
  const location = `http://${request.headers.host}/archive/${name}/${id}`;
  response.writeHead(302, { location }).end();
}

async function tarball({ repository, name, response }: Call, ref = ''): Promise<void> {
  const id = await commitId(repository, ref);
  const archive = await archiveOf(repository, id, `${name.replace('/', '-')}-${id.slice(0, 7)}`);
  response.writeHead(200, { 'content-type': 'application/x-gzip' }).end(archive);
}
