import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GitFailure, git } from './git.ts';
import { serveGit } from './git-http.ts';
import { type HostFaults, type LoopbackHost, sendJson, startLoopbackHost } from './loopback.ts';

/** Options of {@link startGitHost}. */
export interface GitHostOptions {
  /** Paths of bare repositories by `owner/name`. Read at every request, so a test may change it. */
  readonly repositories: Readonly<Record<string, string>>;
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
  const host = await startLoopbackHost(
    async (request, response) => answer(options.repositories, request, response),
    options.faults,
  );
  return {
    ...host,
    apiUrl: `${host.url}/api`,
    rawUrl: `${host.url}/raw`,
    cloneUrl: (repository) => `${host.url}/${repository}.git`,
  };
}

const ROUTES: readonly [pattern: RegExp, route: Route][] = [
  [/^\/raw\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/, rawFile],
  [/^\/api\/repos\/([^/]+\/[^/]+)$/, repositoryInfo],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/commits$/, commitList],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/commits\/(.+)$/, commitInfo],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/compare\/(.+)\.\.\.(.+)$/, comparison],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/(branches|tags)$/, refList],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/git\/trees\/(.+)$/, treeListing],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/git\/commits\/([0-9a-f]+)$/, gitCommit],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/git\/ref\/(.+)$/, gitRef],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/git\/tags\/([0-9a-f]+)$/, gitTag],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/contents\/(.+)$/, contents],
  [/^\/api\/repos\/([^/]+\/[^/]+)\/tarball\/(.+)$/, tarballRedirect],
  [/^\/archive\/([^/]+\/[^/]+)\/(.+)$/, tarball],
];

type Route = (call: Call, ...parameters: readonly string[]) => Promise<void>;

interface Call {
  readonly repository: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function answer(
  repositories: Readonly<Record<string, string>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://host');
  const clone = /^\/([^/]+\/[^/]+?)(?:\.git)?\/(info\/refs|git-upload-pack|HEAD|objects\/.+)$/.exec(pathname);
  if (clone?.[1] !== undefined && Object.hasOwn(repositories, clone[1])) {
    await serveGit(repositories[clone[1]]!, clone[2]!, request, response);
    return;
  }
  for (const [pattern, route] of ROUTES) {
    const [matched, name = '', ...parameters] = pattern.exec(pathname)?.map(decodeURIComponent) ?? [];
    if (matched === undefined) continue;
    if (!Object.hasOwn(repositories, name)) break;
    const call = { repository: repositories[name]!, name, query, request, response };
    try {
      await route(call, ...parameters);
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error;
      notFound(response);
    }
    return;
  }
  notFound(response);
}

/** Answers 200 with an ETag, or 304 to who has it. */
function answerJson({ request, response }: Call, body: unknown): void {
  const etag = `W/"${createHash('sha256').update(JSON.stringify(body)).digest('hex')}"`;
  if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
  else sendJson(response, 200, body, { etag });
}

function notFound(response: ServerResponse): void {
  sendJson(response, 404, { message: 'Not Found', documentation_url: 'https://docs.github.com/rest' });
}

async function rawFile({ repository, request, response }: Call, ref = '', path = ''): Promise<void> {
  const entry = await git(repository, ['ls-tree', await commitId(repository, ref), '--', path]);
  const [, type, blob] = /^\d+ (\w+) ([0-9a-f]+)\t/.exec(entry.toString('utf8')) ?? [];
  if (type !== 'blob' || blob === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('404: Not Found');
    return;
  }
  const etag = `"${blob}"`;
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  const content = await git(repository, ['cat-file', 'blob', blob]);
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', etag }).end(content);
}

async function repositoryInfo(call: Call): Promise<void> {
  const { repository, name } = call;
  answerJson(call, {
    full_name: name,
    private: false,
    fork: false,
    default_branch: await defaultBranch(repository),
  });
}

async function commitList(call: Call): Promise<void> {
  const { repository, query } = call;
  const ref = query.get('sha') ?? 'HEAD';
  const until = query.get('until');
  const path = query.get('path');
  const listed = await git(repository, [
    ...['log', `--format=${COMMIT_FORMAT}`, `--max-count=${Number(query.get('per_page') ?? 30)}`],
    ...(until === null ? [] : [`--until=${until}`]),
    await commitId(repository, ref),
    ...(path === null ? [] : ['--', path]),
  ]);
  answerJson(call, listed.toString('utf8').split('\n').filter(Boolean).map(commitJson));
}

async function commitInfo(call: Call, ref = ''): Promise<void> {
  const { repository, response } = call;
  const id = await commitId(repository, ref).catch(() => undefined);
  if (id === undefined) {
    sendJson(response, 422, { message: `No commit found for SHA: ${ref}` });
    return;
  }
  const listed = await git(repository, ['log', `--format=${COMMIT_FORMAT}`, '--max-count=1', id]);
  answerJson(call, commitJson(listed.toString('utf8').trim()));
}

async function gitCommit(call: Call, sha = ''): Promise<void> {
  const { repository } = call;
  const id = await commitId(repository, sha);
  const tree = await git(repository, ['rev-parse', '--verify', '--quiet', `${id}^{tree}`]);
  answerJson(call, { sha: id, tree: { sha: tree.toString('utf8').trim() } });
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
  const listed = await git(repository, [
    ...[
      'for-each-ref',
      '--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname:lstrip=2)',
    ],
    kind === 'tags' ? 'refs/tags' : 'refs/heads',
  ]);
  const refs = listed.toString('utf8').split('\n').filter(Boolean);
  const size = Number(query.get('per_page') ?? 30);
  const start = (Number(query.get('page') ?? 1) - 1) * size;
  answerJson(
    call,
    refs.slice(start, start + size).map((line) => {
      const space = line.indexOf(' ');
      return { name: line.slice(space + 1), commit: { sha: line.slice(0, space) } };
    }),
  );
}

async function treeListing(call: Call, ref = ''): Promise<void> {
  const { repository, query } = call;
  const id = await commitId(repository, ref);
  const recursive = query.get('recursive') === null ? [] : ['-r', '-t'];
  const listed = await git(repository, ['ls-tree', '-z', '-l', ...recursive, id]);
  const tree = listed
    .toString('utf8')
    .split('\0')
    .filter(Boolean)
    .map((line) => {
      const [, mode, type, sha, size, path] = /^(\d+) (\w+) ([0-9a-f]+) +(\S+)\t(.+)$/s.exec(line) ?? [];
      return { path, mode, type, sha, ...(size === '-' ? {} : { size: Number(size) }) };
    });
  answerJson(call, { sha: id, tree, truncated: false });
}

async function tarballRedirect({ repository, name, request, response }: Call, ref = ''): Promise<void> {
  const id = await commitId(repository, ref);
  const location = `http://${request.headers.host}/archive/${name}/${id}`;
  response.writeHead(302, { location }).end();
}

async function tarball({ repository, name, response }: Call, ref = ''): Promise<void> {
  const id = await commitId(repository, ref);
  const prefix = `${name.replace('/', '-')}-${id.slice(0, 7)}/`;
  const archive = await git(repository, ['archive', '--format=tar.gz', `--prefix=${prefix}`, id]);
  response.writeHead(200, { 'content-type': 'application/x-gzip' }).end(archive);
}

/** The commit a branch, tag or commit id stands for. A ref is an argument, never an option. */
async function commitId(repository: string, ref: string): Promise<string> {
  const id = await git(repository, [
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${ref}^{commit}`,
  ]);
  return id.toString('utf8').trim();
}

async function defaultBranch(repository: string): Promise<string> {
  const branch = await git(repository, ['symbolic-ref', '--short', 'HEAD']);
  return branch.toString('utf8').trim();
}

const COMMIT_FORMAT = '%H%x09%T%x09%cI%x09%aI%x09%s';

function commitJson(line: string): unknown {
  const [sha, tree, committed, authored, message] = line.split('\t');
  return {
    sha,
    commit: { tree: { sha: tree }, committer: { date: committed }, author: { date: authored }, message },
  };
}
