import { CoreError } from '../../../errors.ts';
import { commitIn, property } from '../input.ts';
import { type TreeFile, toTreeFile } from '../tree-file.ts';

/**
 * Reads the answer of `GET /repos/{repository}/git/trees/{commit}?recursive=1`, below a directory; empty for a directory
 * that is not there.
 *
 * @throws {@link CoreError} `SOURCE_LIMIT_EXCEEDED` for a tree the API cuts off, `SOURCE_INVALID`
 */
export function toTreeFiles(answer: unknown, directory: string, operation: string): readonly TreeFile[] {
  const tree = property(answer, 'tree');
  if (!Array.isArray(tree)) throw new CoreError('SOURCE_INVALID', `${operation}: the answer has no tree`);
  if (property(answer, 'truncated') === true)
    throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${operation}: more files than the API lists`);
  const prefix = directory === '.' ? '' : `${directory}/`;
  return tree.flatMap((entry: unknown) => toTreeFile(entry, prefix, operation) ?? []);
}

/**
 * The id of a directory's tree: in the answer of `GET /repos/{repository}/git/commits/{commit}` for the root, and of
 * `GET /repos/{repository}/git/trees/{commit}?recursive=1` for any other. Undefined where the answer does not have it.
 */
export function toTreeId(answer: unknown, directory: string): string | undefined {
  const tree = property(answer, 'tree');
  if (!Array.isArray(tree)) return commitIn(tree, 'sha');
  const found: unknown = tree.find(
    (entry: unknown) => property(entry, 'path') === directory && property(entry, 'type') === 'tree',
  );
  return commitIn(found, 'sha');
}
