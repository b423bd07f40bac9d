import { CoreError } from '../../../errors.ts';
import { encodePath, property } from '../input.ts';
import { checkListedPath, isSize, type TreeFile } from '../tree-file.ts';
import { type HostApi, type HostQuestion, valuesPage } from './api.ts';

/** Lists the files below a directory; undefined when there is no such directory or commit. */
export async function listFiles(
  api: HostApi,
  repository: string,
  commit: string,
  directory: string,
  { maxEntries, ...question }: HostQuestion & { readonly maxEntries: number },
): Promise<readonly TreeFile[] | undefined> {
  const root = directory === '.' ? '' : `${encodePath(directory)}/`;
  const prefix = directory === '.' ? '' : `${directory}/`;
  const first = `${repository}/src/${commit}/${root}?max_depth=${MAX_DEPTH}&pagelen=100`;
  const files: TreeFile[] = [];
  const maxPages = Math.ceil(maxEntries / 50) + 1;
  for await (const entries of api.pages(first, question, { maxPages, toPage: valuesPage })) {
    for (const entry of entries) {
      const file = toFile(entry, prefix, question.operation);
      if (file !== undefined) files.push(file);
    }
    if (files.length > maxEntries) break;
  }
  return files.length === 0 ? undefined : files;
}

/** Deeper directories are not listed. */
const MAX_DEPTH = 30;

/** @throws {@link CoreError} `SOURCE_UNSUPPORTED` for what Bitbucket does not tell the content of */
function toFile(entry: unknown, prefix: string, operation: string): TreeFile | undefined {
  const type = property(entry, 'type');
  const path = property(entry, 'path');
  if (typeof path !== 'string') throw new CoreError('SOURCE_INVALID', `${operation}: an entry has no path`);
  checkListedPath(path.replace(/\/$/, '') || '.', operation);
  if (!path.startsWith(prefix)) return undefined;
  if (type === 'commit_directory') {
    if (path.slice(prefix.length).split('/').length < MAX_DEPTH) return undefined;
    throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${operation}: deeper than ${MAX_DEPTH} directories`);
  }
  if (type !== 'commit_file') return undefined;
  const listed = property(entry, 'attributes');
  const attributes: readonly unknown[] = Array.isArray(listed) ? listed : [];
  const untold = attributes.find((one) => one === 'subrepository' || one === 'lfs');
  if (untold !== undefined) {
    const shown = JSON.stringify(path.slice(0, 200));
    throw new CoreError(
      'SOURCE_UNSUPPORTED',
      `${operation}: ${shown} is a ${untold}, of which the API tells no content`,
      {
        hint: 'Read this repository from a git mirror.',
      },
    );
  }
  const size = property(entry, 'size');
  const kind = attributes.includes('link')
    ? 'symlink'
    : attributes.includes('executable')
      ? 'executable'
      : 'file';
  return { path, type: kind, ...(isSize(size) ? { size } : {}) };
}

/** Tells whether an answer has the form of a list of files. */
export function isListing(body: Buffer): boolean {
  if (body[0] !== 0x7b) return false;
  try {
    const values = property(JSON.parse(body.toString('utf8')), 'values');
    return (
      Array.isArray(values) &&
      values.every((value) => ['commit_file', 'commit_directory'].includes(String(property(value, 'type'))))
    );
  } catch {
    return false;
  }
}

/**
 * Tells whether a file of an archive is the file of the commit whenever its size is. `export-subst` and
 * `working-tree-encoding` may change content and not its size; the attributes of a directory hold below it.
 */
export async function hasExactArchive(
  directory: string,
  files: readonly TreeFile[],
  read: (path: string) => Promise<Uint8Array | undefined>,
): Promise<boolean> {
  const steps = directory === '.' ? [] : directory.split('/');
  const above = steps.map((_, index) => [...steps.slice(0, index), '.gitattributes'].join('/'));
  const below = files.map(({ path }) => path).filter((path) => /(?:^|\/)\.gitattributes$/.test(path));
  for (const path of new Set([...above, ...below])) {
    const content = await read(path);
    if (/export-subst|working-tree-encoding/.test(Buffer.from(content ?? []).toString('latin1')))
      return false;
  }
  return true;
}
