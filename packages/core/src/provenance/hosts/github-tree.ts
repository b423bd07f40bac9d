import { CoreError } from '../../errors.ts';
import type { SourceEntry } from '../../lineage/types.ts';
import { isCommitId, toRepositoryPath } from '../location.ts';

/** A file of a tree, by its path from the root of the repository. */
export interface TreeFile {
  readonly path: string;
  readonly type: SourceEntry['type'];
  /** Object id of the content; of a submodule, its commit. */
  readonly id: string;
  readonly size: number;
}

const TYPES: ReadonlyMap<unknown, SourceEntry['type']> = new Map([
  ['100644', 'file'],
  ['100755', 'executable'],
  ['120000', 'symlink'],
  ['160000', 'submodule'],
]);

/**
 * Reads the answer of `GET /repos/{repository}/git/trees/{commit}?recursive=1`, below a directory.
 *
 * @throws {@link CoreError} `SOURCE_NOT_FOUND` for a directory that is not there, `SOURCE_LIMIT_EXCEEDED` for a tree
 * the API cuts off, `SOURCE_INVALID`
 */
export function toTreeFiles(answer: unknown, directory: string, operation: string): readonly TreeFile[] {
  const { tree, truncated } = Object(answer) as { tree?: unknown; truncated?: unknown };
  if (!Array.isArray(tree)) throw new CoreError('SOURCE_INVALID', `${operation}: the answer has no tree`);
  if (truncated === true)
    throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${operation}: more files than the API lists`);
  const prefix = directory === '.' ? '' : `${directory}/`;
  const files = tree.flatMap((entry: unknown) => toTreeFile(entry, prefix, operation));
  if (files.length === 0)
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such directory`);
  return files;
}

function toTreeFile(entry: unknown, prefix: string, operation: string): readonly TreeFile[] {
  const { path, mode, sha, size } = Object(entry) as Record<string, unknown>;
  const type = TYPES.get(mode);
  if (type === undefined || typeof path !== 'string' || !path.startsWith(prefix)) return [];
  if (toRepositoryPath(path) !== path || typeof sha !== 'string') {
    throw new CoreError(
      'SOURCE_INVALID',
      `${operation}: invalid entry ${JSON.stringify(path.slice(0, 200))}`,
    );
  }
  return [{ path, type, id: sha, size: typeof size === 'number' ? size : 0 }];
}

/**
 * The id of a directory's tree: in the answer of `GET /repos/{repository}/git/commits/{commit}` for the root, and of
 * `GET /repos/{repository}/git/trees/{commit}?recursive=1` for any other. Undefined where the answer does not have it.
 */
export function toTreeId(answer: unknown, directory: string): string | undefined {
  const { tree } = Object(answer) as { readonly tree?: unknown };
  const found: unknown = Array.isArray(tree)
    ? tree.find((entry: unknown) => {
        const { path, type } = Object(entry) as Record<string, unknown>;
        return path === directory && type === 'tree';
      })
    : tree;
  const { sha } = Object(found) as { readonly sha?: unknown };
  return typeof sha === 'string' && isCommitId(sha) ? sha : undefined;
}
