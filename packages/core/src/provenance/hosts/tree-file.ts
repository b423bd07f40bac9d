import { CoreError } from '../../errors.ts';
import type { SourceEntry } from '../../lineage/types.ts';
import { isCommitId, toRepositoryPath } from '../location.ts';
import { blobId } from './git/git-object.ts';
import { property } from './input.ts';

/** A file of a tree, by its path from the root of the repository. */
export interface TreeFile {
  readonly path: string;
  readonly type: SourceEntry['type'];
  /** Object id of the content; of a submodule, its commit. Absent where the host does not tell. */
  readonly id?: string;
  /** In bytes, where the host tells. */
  readonly size?: number;
}

const TYPES: ReadonlyMap<unknown, SourceEntry['type']> = new Map([
  ['100644', 'file'],
  ['100664', 'file'],
  ['100755', 'executable'],
  ['120000', 'symlink'],
  ['160000', 'submodule'],
]);

/**
 * Reads an entry of a tree as GitHub and Gitea (`sha`) or GitLab (`id`) list it; undefined for a directory and for what is
 * not below `prefix`.
 *
 * @throws {@link CoreError} `SOURCE_INVALID` for a path that is not one inside the repository, or no object id
 */
export function toTreeFile(entry: unknown, prefix: string, operation: string): TreeFile | undefined {
  const path = property(entry, 'path');
  const type = TYPES.get(property(entry, 'mode'));
  if (type === undefined || typeof path !== 'string' || !path.startsWith(prefix)) return undefined;
  const id = property(entry, 'sha') ?? property(entry, 'id');
  checkListedPath(path, operation);
  if (typeof id !== 'string' || !isCommitId(id)) {
    throw new CoreError(
      'SOURCE_INVALID',
      `${operation}: ${JSON.stringify(path.slice(0, 200))} has no object id`,
    );
  }
  const size = property(entry, 'size');
  return { path, type, id, ...(isSize(size) ? { size } : {}) };
}

/** @throws {@link CoreError} `SOURCE_INVALID` for a path no tree can have: a parent step, an absolute path */
export function checkListedPath(path: string, operation: string): void {
  if (path !== '.' && toRepositoryPath(path) === path) return;
  const shown = JSON.stringify(path.slice(0, 200));
  throw new CoreError('SOURCE_INVALID', `${operation}: invalid entry ${shown}`);
}

/** A number of bytes as JSON may hold it. */
export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Tells whether content is what the tree lists. */
export function isContentOf(file: TreeFile, content: Uint8Array): boolean {
  if (file.id !== undefined) return blobId(content, file.id) === file.id;
  return file.size === undefined || file.size === content.byteLength;
}
