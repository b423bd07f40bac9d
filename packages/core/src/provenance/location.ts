import { posix } from 'node:path';

/**
 * Normalises the URL of a source repository: https, lower-case host, no `.git`, no trailing slash.
 * `git://` and `http://` become https; hosts ended both long ago.
 *
 * @returns undefined for anything that is not such a URL: another scheme (ssh, file, `ext::`), a user name or
 * password, a query, or no path. Repository URLs come from descriptions and labels and are never trusted.
 */
export function toRepositoryUrl(text: string): string | undefined {
  if (text.length > MAX_URL || !/^(?:https?|git|git\+https):\/\//.test(text)) return undefined;
  const url = URL.parse(text.replace(/^[a-z+]+:/, 'https:'));
  if (url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return undefined;
  }
  const path = trimSlashes(url.pathname).replace(/\.git$/, '');
  return path === '' ? undefined : `https://${url.host}/${path}`;
}

/** Tells whether a text is a full commit id (SHA-1 or SHA-256), lower case. */
export function isCommitId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Tells whether a text is a full branch or tag name that can stand as an argument of git. */
export function isFetchRef(text: string): boolean {
  return /^refs\/(?:heads|tags)\/[^*?:~^[\\\s-][^*?:~^[\\\s]*$/.test(text) && !text.includes('..');
}

/**
 * Normalises a path inside a repository: `./a//b/` becomes `a/b`, the root is `.`.
 *
 * @returns undefined for an absolute path and one that leaves the repository
 */
export function toRepositoryPath(text: string): string | undefined {
  if (text.includes('\0') || text.startsWith('/')) return undefined;
  const path = posix.normalize(text === '' ? '.' : text).replace(/\/$/, '');
  return path === '..' || path.startsWith('../') ? undefined : path;
}

function trimSlashes(path: string): string {
  let start = 0;
  let end = path.length;
  while (path[start] === '/') start += 1;
  while (end > start && path[end - 1] === '/') end -= 1;
  return path.slice(start, end);
}

const MAX_URL = 2048;
