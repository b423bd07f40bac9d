import { CoreError } from '../../../errors.ts';
import type { SourceEntry } from '../../../lineage/types.ts';
import { toRepositoryPath } from '../../location.ts';
import { type GitOptions, runGit, streamGit } from './git-command.ts';

/** A file of a commit. */
export interface TreeEntry {
  /** From the root of the repository. */
  readonly path: string;
  readonly type: SourceEntry['type'];
  /** Object id; of a submodule, its commit. */
  readonly id: string;
  readonly size: number;
}

const TYPES: ReadonlyMap<string, SourceEntry['type']> = new Map([
  ['100644', 'file'],
  ['100664', 'file'],
  ['100755', 'executable'],
  ['120000', 'symlink'],
  ['160000', 'submodule'],
]);

/** Lists the files at or below a path of a commit. */
export async function listTree(
  question: {
    readonly directory: string;
    readonly commit: string;
    readonly path: string;
    readonly maxBytes: number;
    readonly recursive?: boolean;
    readonly signal?: AbortSignal;
  },
  options: GitOptions,
): Promise<readonly TreeEntry[]> {
  const { directory, commit, path, maxBytes, signal } = question;
  const recursive = question.recursive === true ? ['-r'] : [];
  const args = [
    'ls-tree',
    '-z',
    '--long',
    '--full-tree',
    ...recursive,
    commit,
    '--',
    ...(path === '' ? [] : [path]),
  ];
  const printed = await runGit({ directory, arguments: args, maxBytes, signal }, options);
  return printed
    .toString('utf8')
    .split('\0')
    .flatMap((line) => {
      const tab = line.indexOf('\t');
      const [mode = '', , id = '', size = ''] = line.slice(0, Math.max(tab, 0)).split(/ +/);
      const type = TYPES.get(mode);
      if (type === undefined) return [];
      const name = line.slice(tab + 1);
      if (toRepositoryPath(name) !== name) {
        throw new CoreError(
          'SOURCE_INVALID',
          `list ${commit.slice(0, 12)}: invalid entry ${JSON.stringify(name.slice(0, 200))}`,
        );
      }
      return [{ path: name, type, id, size: Number(size) || 0 }];
    });
}

/** Reads the content of files, in order, with one git process. */
export async function* readBlobs(
  question: {
    readonly directory: string;
    readonly files: readonly TreeEntry[];
    readonly signal?: AbortSignal;
  },
  options: GitOptions,
): AsyncGenerator<Uint8Array> {
  const { directory, files, signal } = question;
  if (files.length === 0) return;
  const input = files.map(({ id }) => `${id}\n`).join('');
  const maxBytes = files.reduce((sum, { size }) => sum + size + 256, 0);
  const output = streamGit(
    { directory, arguments: ['cat-file', '--batch'], input, maxBytes, signal },
    options,
  );
  let pending = Buffer.alloc(0);
  let index = 0;
  const parts: Uint8Array[] = [];
  let missing = -1; // bytes still to come of the file being read and its final newline
  for await (const chunk of output) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    for (;;) {
      if (missing < 0) {
        const end = pending.indexOf(10);
        if (end < 0) break;
        const header = pending.subarray(0, end).toString('utf8');
        const size = Number(/ blob (\d+)$/.exec(header)?.[1] ?? Number.NaN);
        if (size !== files[index]?.size) {
          throw new CoreError(
            'SOURCE_INVALID',
            `read object ${files[index]?.id}: git answered ${header.slice(0, 200)}`,
          );
        }
        missing = size + 1;
        pending = pending.subarray(end + 1);
      }
      const part = pending.subarray(0, missing);
      pending = pending.subarray(part.length);
      missing -= part.length;
      parts.push(part);
      if (missing > 0) break;
      const content = Buffer.concat(parts.splice(0));
      yield content.subarray(0, content.length - 1);
      index += 1;
      missing = -1;
    }
  }
}
