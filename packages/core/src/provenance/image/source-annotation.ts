import { parseFileUrl } from '../file-url.ts';
import { toRepositoryPath, toRepositoryUrl } from '../location.ts';

/** What an `org.opencontainers.image.source` value says. */
export interface SourceAnnotation {
  readonly repository: string;
  /** Commit, branch or tag, when named. */
  readonly ref?: string;
  /** Build context inside the repository, when named. */
  readonly directory?: string;
  /** File inside the repository, when the value is a link to one. */
  readonly path?: string;
}

/**
 * Reads the value of an `org.opencontainers.image.source` annotation or label: a repository URL, with BuildKit's
 * `#<ref>:<directory>` fragment or as a link into a repository's web pages. `git@host:path` and `ssh://` become https.
 *
 * @returns undefined for anything that names no https repository
 * @see https://docs.docker.com/build/concepts/context/#url-fragments
 */
export function parseSourceAnnotation(value: string): SourceAnnotation | undefined {
  if (value.length > 2048) return undefined;
  const trimmed = value.trim();
  const file = parseFileUrl(trimmed);
  if (file !== undefined) return { repository: file.repository, ref: file.ref, path: file.path };
  const hash = trimmed.indexOf('#');
  const location = toHttps(hash < 0 ? trimmed : trimmed.slice(0, hash));
  const fragment = hash < 0 ? '' : trimmed.slice(hash + 1);
  const tree = hash < 0 ? treePage(location) : undefined;
  if (tree !== undefined) return tree;
  const repository = toRepositoryUrl(location);
  if (repository === undefined) return undefined;
  const colon = fragment.indexOf(':');
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const directory = colon < 0 ? '' : toRepositoryPath(fragment.slice(colon + 1).replace(/^\/+/, ''));
  if (directory === undefined || !isRef(ref)) return { repository };
  return {
    repository,
    ...(ref === '' ? {} : { ref }),
    ...(directory === '' ? {} : { directory }),
  };
}

/** `https://github.com/o/r/tree/<ref>[/<directory>]`, and GitLab's `/-/tree/`. */
function treePage(text: string): SourceAnnotation | undefined {
  const match = /^(https:\/\/[^?#]+?)(?:\/-)?\/tree\/([^/?#]+)(?:\/([^?#]*))?$/.exec(text);
  const repository = match?.[1] === undefined ? undefined : toRepositoryUrl(match[1]);
  const directory = toRepositoryPath(match?.[3] ?? '');
  const ref = match?.[2] ?? '';
  if (repository === undefined || directory === undefined || !isRef(ref)) return undefined;
  return { repository, ref, ...(directory === '.' ? {} : { directory }) };
}

function toHttps(text: string): string {
  const scp = /^[\w.-]{1,64}@([\w.-]{1,255}):(?!\/)([^\s]+)$/.exec(text);
  if (scp !== null) return `https://${scp[1]}/${scp[2]}`;
  const ssh = /^(?:git\+)?ssh:\/\/(?:[\w.-]{1,64}@)?([\w.-]{1,255})\/([^\s]+)$/.exec(text);
  return ssh === null ? text : `https://${ssh[1]}/${ssh[2]}`;
}

function isRef(text: string): boolean {
  return text === '' || (/^[\w.][\w./+-]{0,255}$/.test(text) && !text.includes('..'));
}
