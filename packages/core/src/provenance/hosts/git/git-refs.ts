import { CoreError } from '../../../errors.ts';
import { isCommitId, isFetchRef } from '../../location.ts';
import { GitExit, type GitOptions, runGit } from './git-command.ts';

/** Tells the commit a branch, a tag or `HEAD` of a repository on disk names; undefined when it has none of that name. */
export async function readRef(
  {
    directory,
    ref,
    signal,
  }: { readonly directory: string; readonly ref: string; readonly signal?: AbortSignal },
  options: GitOptions,
): Promise<string | undefined> {
  const operation = `read ref ${JSON.stringify(ref.slice(0, 200))}`;
  if (ref !== 'HEAD' && !isFetchRef(ref)) {
    throw new CoreError('SOURCE_UNSUPPORTED', `${operation}: it is no full name of a branch or tag`);
  }
  const run = async (...args: readonly string[]) =>
    (await runGit({ directory, arguments: args, maxBytes: 1024 * 1024, signal }, options))
      .toString('utf8')
      .trim();
  try {
    // rev-parse would take a branch called refs/tags/v1 for the tag v1 when that is gone: names are matched here.
    const listed =
      ref === 'HEAD' ? ref : await run('for-each-ref', '--format=%(objectname) %(refname)', '--', ref);
    const named =
      ref === 'HEAD'
        ? ref
        : listed
            .split('\n')
            .find((line) => line.endsWith(` ${ref}`))
            ?.split(' ')[0];
    if (named === undefined) return undefined;
    const commit = await run('rev-parse', '--verify', '--quiet', '--end-of-options', `${named}^{commit}`);
    return isCommitId(commit) ? commit : undefined;
  } catch (error) {
    if (!(error instanceof GitExit)) throw error;
    // Status 1 is the answer "there is none"; any other is no answer.
    if (error.status === 1) return undefined;
    throw new CoreError('SOURCE_UNREACHABLE', `${operation}: git ended with ${error.status}`, {
      cause: error,
    });
  }
}
