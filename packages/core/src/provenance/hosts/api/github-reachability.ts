import type { Reachability } from '../../../lineage/types.ts';
import { type NamedRef, property } from '../input.ts';
import type { HostApi, HostQuestion } from './api.ts';

/**
 * Tells whether a branch or tag of the repository holds a commit. Asked first: the branch or tag said to hold it, then
 * the default branch, then every other one up to a limit; beyond the limit the answer is `unchecked`.
 */
export async function reachability(
  api: HostApi,
  name: string,
  commit: string,
  ref: NamedRef | undefined,
  question: HostQuestion,
): Promise<Reachability> {
  const ask = (path: string) => api.json(`/repos/${name}${path}`, question);
  const holds = async (full: string) => {
    const comparison = await ask(`/compare/${encodeURIComponent(full)}...${commit}?per_page=1`);
    const status = property(comparison, 'status');
    return status === 'identical' || status === 'behind';
  };

  // Full names: a branch and a tag may share a short one.
  const asked = new Set<string>();
  if (ref !== undefined) {
    const full = `${PREFIXES[ref.kind]}${ref.short}`;
    if (await holds(full)) return 'reachable';
    asked.add(full);
  }
  const branch = property(await ask(''), 'default_branch');
  const usual = `${PREFIXES.branch}${branch}`;
  if (typeof branch === 'string' && !asked.has(usual)) {
    if (await holds(usual)) return 'reachable';
    asked.add(usual);
  }
  if ((await ask(`/git/commits/${commit}`)) === undefined) return 'unreachable';

  const lists = await Promise.all([ask('/branches?per_page=100'), ask('/tags?per_page=100')]);
  const [branches, tags] = lists.map((list) => (Array.isArray(list) ? (list as readonly unknown[]) : []));
  const refs = [...toRefs(PREFIXES.branch, branches), ...toRefs(PREFIXES.tag, tags)];
  if (refs.some(({ sha }) => sha === commit)) return 'reachable';
  const rest = refs.filter(({ name: full }) => !asked.has(full));
  for (const { name: full } of rest.slice(0, MAX_REFS)) {
    if (await holds(full)) return 'reachable';
  }
  const complete = rest.length <= MAX_REFS && lists.every((list) => Array.isArray(list) && list.length < 100);
  return complete ? 'unreachable' : 'unchecked';
}

const PREFIXES = { branch: 'refs/heads/', tag: 'refs/tags/' } as const;

function toRefs(
  prefix: string,
  entries: readonly unknown[] = [],
): readonly { readonly name: string; readonly sha: unknown }[] {
  return entries.map((entry) => ({
    name: `${prefix}${property(entry, 'name')}`,
    sha: property(property(entry, 'commit'), 'sha'),
  }));
}

/** Each costs a request of the API's budget. */
const MAX_REFS = 20;
