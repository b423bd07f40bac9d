import { GitFailure, git } from './git.ts';

// What the test hosts ask a bare repository, whatever form their answers have.

/** An entry of a tree. */
export interface TreeLine {
  readonly mode: string;
  readonly type: 'blob' | 'tree' | 'commit';
  readonly id: string;
  /** Of a blob, in bytes. */
  readonly size?: number;
  readonly path: string;
}

/** A commit. */
export interface CommitLine {
  readonly id: string;
  readonly tree: string;
  readonly parents: readonly string[];
  /** RFC 3339. */
  readonly committed: string;
  readonly authored: string;
  readonly subject: string;
}

/** A branch or tag, and the commit it is at. */
export interface RefLine {
  readonly kind: 'branch' | 'tag';
  readonly name: string;
  readonly commit: string;
}

/** The commit a branch, tag or commit id stands for. A ref is an argument, never an option. @throws GitFailure */
export async function commitId(repository: string, ref: string): Promise<string> {
  const named = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`];
  return (await git(repository, named)).toString('utf8').trim();
}

/** As {@link commitId}, undefined when there is none. */
export async function findCommit(repository: string, ref: string): Promise<string | undefined> {
  try {
    return await commitId(repository, ref);
  } catch (error) {
    if (error instanceof GitFailure) return undefined;
    throw error;
  }
}

export async function defaultBranch(repository: string): Promise<string> {
  const branch = await git(repository, ['symbolic-ref', '--short', 'HEAD']);
  return branch.toString('utf8').trim();
}

/** Lists a tree: directories too, and all below them when `recursive`. */
export async function listTree(
  repository: string,
  commit: string,
  { path = '', recursive = false }: { readonly path?: string; readonly recursive?: boolean } = {},
): Promise<readonly TreeLine[]> {
  const deep = recursive ? ['-r', '-t'] : [];
  const below = path === '' ? [] : ['--', `${path.replace(/\/+$/, '')}/`];
  const listed = await git(repository, ['ls-tree', '-z', '-l', ...deep, commit, ...below]);
  return listed
    .toString('utf8')
    .split('\0')
    .filter(Boolean)
    .flatMap((line) => {
      const [, mode = '', type, id = '', size, name = ''] =
        /^(\d+) (\w+) ([0-9a-f]+) +(\S+)\t(.+)$/s.exec(line) ?? [];
      // `ls-tree -t` lists the directories above the one asked for.
      if (path !== '' && !name.startsWith(`${path.replace(/\/+$/, '')}/`)) return [];
      const bytes = size === '-' ? {} : { size: Number(size) };
      return [{ mode, type: type as TreeLine['type'], id, path: name, ...bytes }];
    });
}

/** Lists commits, newest first. */
export async function listCommits(
  repository: string,
  revisions: readonly string[],
  options: {
    readonly until?: string | null;
    readonly path?: string | null;
    readonly count?: number;
    readonly skip?: number;
  },
): Promise<readonly CommitLine[]> {
  const { until, path, count, skip = 0 } = options;
  const listed = await git(repository, [
    ...['log', '--format=%H%x09%T%x09%P%x09%cI%x09%aI%x09%s', `--skip=${skip}`],
    ...(count === undefined ? [] : [`--max-count=${count}`]),
    ...(until === undefined || until === null ? [] : [`--until=${until}`]),
    ...['--end-of-options', ...revisions],
    ...(path === undefined || path === null ? [] : ['--', path]),
  ]);
  return listed
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [id = '', tree = '', parents = '', committed = '', authored = '', subject = ''] =
        line.split('\t');
      return { id, tree, parents: parents.split(' ').filter(Boolean), committed, authored, subject };
    });
}

/** Lists branches, then tags; only those that contain a commit, when one is given. */
export async function listRefs(repository: string, containing?: string): Promise<readonly RefLine[]> {
  const format = '--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname)';
  const listed = await git(repository, [
    ...['for-each-ref', format, ...(containing === undefined ? [] : [`--contains=${containing}`])],
    ...['refs/heads', 'refs/tags'],
  ]);
  return listed
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [commit = '', ref = ''] = line.split(' ');
      const kind = ref.startsWith('refs/heads/') ? 'branch' : 'tag';
      return {
        kind,
        name: ref.slice(kind === 'branch' ? 'refs/heads/'.length : 'refs/tags/'.length),
        commit,
      };
    });
}

/** The entry at a path of a commit, undefined when there is none. */
export async function findEntry(
  repository: string,
  commit: string,
  path: string,
): Promise<TreeLine | undefined> {
  const listed = await git(repository, ['ls-tree', '-z', '-l', commit, '--', path]);
  const [, mode = '', type, id = '', size] =
    /^(\d+) (\w+) ([0-9a-f]+) +(\S+)\t/.exec(listed.toString('utf8')) ?? [];
  if (type === undefined) return undefined;
  return { mode, type: type as TreeLine['type'], id, path, ...(size === '-' ? {} : { size: Number(size) }) };
}

export function readBlob(repository: string, id: string): Promise<Buffer> {
  return git(repository, ['cat-file', 'blob', id]);
}

/** A gzipped tar archive of a commit, with everything below one directory. */
export function archiveOf(
  repository: string,
  commit: string,
  prefix: string,
  path?: string | null,
): Promise<Buffer> {
  const below = path === undefined || path === null ? [] : ['--', path];
  return git(repository, ['archive', '--format=tar.gz', `--prefix=${prefix}/`, commit, ...below]);
}
