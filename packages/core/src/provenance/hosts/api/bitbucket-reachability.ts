import { CoreError } from '../../../errors.ts';
import type { Reachability } from '../../../lineage/types.ts';
import { commitIn, property } from '../input.ts';
import { type HostApi, type HostQuestion, valuesPage } from './api.ts';

/**
 * Tells whether a branch or tag holds a commit: it does when no commit is left of the history of the one without that of the
 * other. Asked first: the ref said to hold it, then the main branch, then all others, many at once.
 */
export async function reachability(
  api: HostApi,
  repository: string,
  commit: string,
  question: HostQuestion,
  tipOf: (kind: 'hint' | 'main') => Promise<string | undefined>,
): Promise<Reachability> {
  const asked = new Set<string>();
  /** Whether the history of any of these commits holds it; undefined when the repository does not have it. */
  const holds = async (tips: readonly string[]): Promise<boolean | undefined> => {
    const fresh = tips.filter((tip) => !asked.has(tip));
    if (fresh.includes(commit)) return true;
    if (fresh.length === 0) return false;
    for (const tip of fresh) asked.add(tip);
    const query = [`include=${commit}`, ...fresh.map((tip) => `exclude=${tip}`), 'pagelen=1'].join('&');
    const left = await api.json(`${repository}/commits?${query}`, question);
    if (left === undefined) return undefined;
    const values = property(left, 'values');
    if (Array.isArray(values)) return values.length === 0;
    throw new CoreError('SOURCE_INVALID', `${question.operation}: the answer is no list`);
  };
  for (const kind of ['hint', 'main'] as const) {
    const tip = await tipOf(kind);
    if (tip !== undefined && (await holds([tip])) === true) return 'reachable';
  }
  if ((await api.json(`${repository}/commit/${commit}`, question)) === undefined) return 'unreachable';
  let told = true;
  try {
    const refs = `${repository}/refs?pagelen=100`;
    for await (const page of api.pages(refs, question, { maxPages: MAX_PAGES, toPage: valuesPage })) {
      const tips = page.flatMap((ref) => commitIn(property(ref, 'target'), 'hash') ?? []);
      for (let start = 0; start < tips.length; start += MAX_EXCLUDED) {
        const held = await holds(tips.slice(start, start + MAX_EXCLUDED));
        if (held === true) return 'reachable';
        told &&= held !== undefined;
      }
    }
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_LIMIT_EXCEEDED') return 'unchecked';
    throw error;
  }
  return told ? 'unreachable' : 'unchecked';
}

/** Of 100 refs each. */
const MAX_PAGES = 5;

/** As many as fit into a URL every server takes. */
const MAX_EXCLUDED = 50;
