import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GitFailure } from './git.ts';
import type { CommitLine } from './git-queries.ts';
import { sendJson } from './loopback.ts';

/** The repositories of a test host. Read at every request, so that a test may change them. */
export interface HostedRepositories {
  /** Paths of bare repositories by name. */
  readonly repositories: Readonly<Record<string, string>>;
  /** What the host knows a repository by. Default: a number made from its name, and a day in 2013. */
  readonly identities?: Readonly<Record<string, RepositoryMark>>;
  /** Names that were given up, and the names their repositories have now. */
  readonly moved?: Readonly<Record<string, string>>;
}

/** Number and date of a repository. */
export interface RepositoryMark {
  readonly id: number;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** One request, once its repository is found. */
export interface Call {
  /** Path of the bare repository. */
  readonly repository: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly hosted: HostedRepositories;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** The first group of a pattern is the repository, by its name or number. */
export type Route = readonly [
  pattern: RegExp,
  answer: (call: Call, ...parameters: readonly string[]) => Promise<void>,
];

/** The API of a kind of host. */
export interface Routes {
  readonly routes: readonly Route[];
  notFound(response: ServerResponse): void;
  /** Where a question about a name that was given up is sent, 301. */
  movedTo(name: string, rest: string, id: number, asked: string): string;
}

/** Answers a request by the first route that fits; false when none does, or there is no such repository. */
export async function dispatch(
  { routes, notFound, movedTo }: Routes,
  hosted: HostedRepositories,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const { pathname, search, searchParams: query } = new URL(request.url ?? '/', 'http://host');
  for (const [pattern, route] of routes) {
    const [matched, asked = '', ...parameters] = pattern.exec(pathname)?.map(decodeURIComponent) ?? [];
    if (matched === undefined) continue;
    const { repositories, moved = {} } = hosted;
    const name = /^\d+$/.test(asked)
      ? (Object.keys(repositories).find((one) => identityOf(hosted, one).id === Number(asked)) ?? asked)
      : asked;
    if (Object.hasOwn(repositories, name)) {
      const call = { repository: repositories[name]!, name, query, hosted, request, response };
      try {
        await route(call, ...parameters);
      } catch (error) {
        if (!(error instanceof GitFailure)) throw error;
        notFound(response);
      }
      return true;
    }
    const now = Object.hasOwn(moved, name) ? moved[name] : undefined;
    if (now === undefined) return false;
    const [, rest = ''] = pathname.split(
      pathname.includes(encodeURIComponent(name)) ? encodeURIComponent(name) : name,
    );
    const location = movedTo(now, `${rest}${search}`, identityOf(hosted, now).id, pathname);
    sendJson(response, 301, { message: 'Moved Permanently', url: location }, { location });
    return true;
  }
  return false;
}

/** What the host knows a repository by. */
export function identityOf({ identities = {} }: HostedRepositories, name: string): RepositoryMark {
  const given = Object.hasOwn(identities, name) ? identities[name] : undefined;
  if (given !== undefined) return given;
  const number = Number.parseInt(createHash('sha256').update(name).digest('hex').slice(0, 7), 16);
  return { id: number, createdAt: '2013-06-01T00:00:00Z' };
}

/** Answers 200 with an ETag, or 304 to who has it. */
export function answerJson(
  { request, response }: Pick<Call, 'request' | 'response'>,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const etag = `W/"${createHash('sha256').update(JSON.stringify(body)).digest('hex')}"`;
  if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag, ...headers }).end();
  else sendJson(response, 200, body, { etag, ...headers });
}

/** A commit as GitHub and Gitea write it. */
export function commitJson({ id, tree, committed, authored, subject }: CommitLine): unknown {
  return {
    sha: id,
    commit: {
      tree: { sha: tree },
      committer: { date: committed },
      author: { date: authored },
      message: subject,
    },
  };
}
