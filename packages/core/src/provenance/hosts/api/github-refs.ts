import { CoreError } from '../../../errors.ts';
import { commitIn, encodePath, type NamedRef, property } from '../input.ts';
import type { HostApi, HostQuestion } from './api.ts';

/** Tells the commit a branch, a tag or the default branch names; undefined when the repository has none of that name. */
export async function refOf(
  api: HostApi,
  name: string,
  ref: NamedRef | undefined,
  question: HostQuestion,
): Promise<string | undefined> {
  const ask = (path: string) => api.json(`/repos/${name}${path}`, question);
  let named = ref;
  if (named === undefined) {
    const branch = property(await ask(''), 'default_branch');
    if (typeof branch !== 'string') return undefined;
    named = { kind: 'branch', short: branch };
  }
  const { kind, short } = named;
  let object = objectOf(await ask(`/git/ref/${kind === 'branch' ? 'heads' : 'tags'}/${encodePath(short)}`));
  // A tag may be an object of its own that names a commit, or another tag.
  for (let depth = 0; object?.type === 'tag' && depth < MAX_TAGS; depth += 1) {
    object = objectOf(await ask(`/git/tags/${object.sha}`));
  }
  if (object === undefined) return undefined;
  if (object.type === 'commit') return object.sha;
  throw new CoreError(
    'SOURCE_INVALID',
    `${question.operation}: expected a commit, received a ${object.type}`,
  );
}

const MAX_TAGS = 4;

function objectOf(answer: unknown): { readonly type: string; readonly sha: string } | undefined {
  const object = property(answer, 'object');
  const sha = commitIn(object, 'sha');
  return sha === undefined ? undefined : { type: String(property(object, 'type')).slice(0, 20), sha };
}
