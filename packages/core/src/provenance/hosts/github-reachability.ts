import type { Reachability } from '../../lineage/types.ts';
import type { GitHubApi } from './github-api.ts';

/**
 * Tells whether a branch or tag of the repository holds a commit. Asked first: the branch or tag said to hold it, then
 * the default branch, then every other one up to a limit; beyond the limit the answer is `unchecked`.
 */
export async function reachability(
  api: GitHubApi,
  name: string,
  commit: string,
  ref: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Reachability> {
  const operation = `look for ${commit.slice(0, 12)} in the branches of ${name}`;
  const ask = (path: string) => api.json(`/repos/${name}${path}`, operation, signal);
  const holds = async (branch: string) => {
    const comparison = await ask(`/compare/${encodeURIComponent(branch)}...${commit}?per_page=1`);
    const status = property(comparison, 'status');
    return status === 'identical' || status === 'behind';
  };

  const asked = new Set<string>();
  const named = ref?.replace(/^refs\/(?:heads|tags)\//, '');
  if (named !== undefined) {
    if (await holds(named)) return 'reachable';
    asked.add(named);
  }
  const usual = property(await ask(''), 'default_branch');
  if (typeof usual === 'string' && !asked.has(usual)) {
    if (await holds(usual)) return 'reachable';
    asked.add(usual);
  }
  if ((await ask(`/git/commits/${commit}`)) === undefined) return 'unreachable';

  const lists = await Promise.all([ask('/branches?per_page=100'), ask('/tags?per_page=100')]);
  const refs = lists.flatMap((list) => (Array.isArray(list) ? (list as readonly unknown[]) : []));
  if (refs.some((entry) => property(property(entry, 'commit'), 'sha') === commit)) return 'reachable';
  const rest = refs
    .map((entry) => property(entry, 'name'))
    .filter((branch) => typeof branch === 'string')
    .filter((branch) => !asked.has(branch));
  for (const branch of rest.slice(0, MAX_REFS)) {
    if (await holds(branch)) return 'reachable';
  }
  const complete = rest.length <= MAX_REFS && lists.every((list) => Array.isArray(list) && list.length < 100);
  return complete ? 'unreachable' : 'unchecked';
}

/** Each costs a request of the API's budget. */
const MAX_REFS = 20;

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
