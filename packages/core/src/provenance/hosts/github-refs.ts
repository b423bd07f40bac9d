import { CoreError } from '../../errors.ts';
import { isCommitId, isFetchRef } from '../location.ts';
import type { GitHubApi } from './github-api.ts';

/** Tells the commit a branch, a tag or `HEAD` names; undefined when the repository has none of that name. */
export async function refOf(
  api: GitHubApi,
  name: string,
  ref: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const operation = `read ${ref} of ${name}`;
  const ask = (path: string) => api.json(`/repos/${name}${path}`, operation, signal);
  let full = ref;
  if (ref === 'HEAD') {
    const repository = (await ask('')) as { readonly default_branch?: unknown } | undefined;
    if (repository === undefined) return undefined;
    full = `refs/heads/${repository?.default_branch}`;
  }
  if (!isFetchRef(full)) throw new CoreError('SOURCE_UNSUPPORTED', `${operation}: not a branch or tag`);
  const path = full.slice('refs/'.length).split('/').map(encodeURIComponent).join('/');
  let object = objectOf(await ask(`/git/ref/${path}`));
  // A tag may be an object of its own that names a commit, or another tag.
  for (let depth = 0; object?.type === 'tag' && depth < MAX_TAGS; depth += 1) {
    object = objectOf(await ask(`/git/tags/${object.sha}`));
  }
  if (object === undefined) return undefined;
  if (object.type === 'commit') return object.sha;
  throw new CoreError('SOURCE_INVALID', `${operation}: expected a commit, received a ${object.type}`);
}

const MAX_TAGS = 4;

function objectOf(answer: unknown): { readonly type: string; readonly sha: string } | undefined {
  const { object } = (answer ?? {}) as { readonly object?: unknown };
  if (typeof object !== 'object' || object === null) return undefined;
  const { type, sha } = object as Readonly<Record<string, unknown>>;
  return typeof sha === 'string' && isCommitId(sha) ? { type: String(type).slice(0, 20), sha } : undefined;
}
