import type { SourceLocation } from '../lineage/types.ts';
import { isCommitId, isFetchRef, toRepositoryPath, toRepositoryUrl } from './location.ts';

/** What a web link to a file of a repository says. */
export interface FileLink {
  readonly repository: string;
  /** Commit, branch or tag, as the link writes it. */
  readonly ref: string;
  readonly path: string;
  /** Full name of the branch or tag the commit is on, when the link says so (cgit). */
  readonly fetchRef?: string;
}

/**
 * Reads a link to a file as GitHub (`/blob/<ref>/<path>`), GitLab (`/-/blob/<ref>/<path>`), Bitbucket
 * (`/src/<ref>/<path>`), Gitea (`/src/commit/<sha>/<path>`) and cgit (`/tree/<path>?h=<ref>&id=<sha>`)
 * write it. A ref of several segments cannot be told from the path; one segment is taken.
 *
 * @returns undefined for any other link
 */
export function parseFileUrl(text: string): FileLink | undefined {
  const url = text.length > 2048 || !/^https?:\/\//.test(text) ? null : URL.parse(text);
  if (url === null) return undefined;
  const { pathname } = url;
  if (url.searchParams.has('id')) return cgitLink(url);
  for (const marker of ['/-/blob/', '/blob/', '/src/commit/', '/src/']) {
    const at = pathname.indexOf(marker);
    if (at < 0) continue;
    const [ref = '', ...segments] = pathname.slice(at + marker.length).split('/');
    return fileLink(`https://${url.host}${pathname.slice(0, at)}`, ref, segments.join('/'));
  }
  return undefined;
}

/** The location a link names, when it names a full commit. */
export function toLocation(link: FileLink): SourceLocation | undefined {
  if (!isCommitId(link.ref)) return undefined;
  const slash = link.path.lastIndexOf('/');
  return {
    repository: link.repository,
    commit: link.ref,
    directory: slash < 0 ? '.' : link.path.slice(0, slash),
    path: link.path,
    ...(link.fetchRef === undefined ? {} : { ref: link.fetchRef }),
  };
}

function cgitLink(url: URL): FileLink | undefined {
  const at = url.pathname.indexOf('/tree/');
  if (at < 0) return undefined;
  const link = fileLink(
    `https://${url.host}${url.pathname.slice(0, at)}`,
    url.searchParams.get('id') ?? '',
    url.pathname.slice(at + '/tree/'.length),
  );
  const fetchRef = url.searchParams.get('h') ?? '';
  return link !== undefined && isFetchRef(fetchRef) ? { ...link, fetchRef } : link;
}

function fileLink(repositoryText: string, ref: string, encodedPath: string): FileLink | undefined {
  const repository = toRepositoryUrl(repositoryText);
  const path = toRepositoryPath(decode(encodedPath) ?? '/');
  if (repository === undefined || path === undefined || path === '.' || !/^[\w.][\w.+-]*$/.test(ref)) {
    return undefined;
  }
  return { repository, ref, path };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
