import { git } from './git.ts';

/** A file of a commit: its content, with a mode when it is not a plain file; `null` removes it. */
export type CommitFile =
  | string
  | Uint8Array
  | null
  | { readonly executable: string | Uint8Array }
  | { readonly symlink: string }
  /** The commit id a submodule stands at. */
  | { readonly submodule: string };

/** A commit to make. */
export interface RepositoryCommit {
  /** Paths that change, over those of the parent. */
  readonly files: Readonly<Record<string, CommitFile>>;
  readonly message: string;
  /** Author and committer date. */
  readonly date: Date | string;
  /** Branch that moves to this commit. Default: `master`. */
  readonly branch?: string;
  /**
   * Index of the parent in the list; `null` makes a root commit, so that the branch is force-pushed.
   * Default: the branch's tip, or the commit before when the branch is new.
   */
  readonly parent?: number | null;
  /** Tags put on this commit. */
  readonly tags?: readonly string[];
}

/** Options of {@link createRepository}. */
export interface CreateRepositoryOptions {
  /** Branch HEAD names. Default: the branch of the first commit. */
  readonly defaultBranch?: string;
  /** Removes commits no branch or tag holds any more; without it the git host still serves them. */
  readonly prune?: boolean;
}

/**
 * Creates a bare git repository with the given history. The same input makes the same commit ids.
 *
 * @returns its path, and the id of every commit, in order
 */
export async function createRepository(
  directory: string,
  commits: readonly RepositoryCommit[],
  options: CreateRepositoryOptions = {},
): Promise<{ readonly path: string; readonly commits: readonly string[] }> {
  const defaultBranch = options.defaultBranch ?? commits[0]?.branch ?? 'master';
  await git(directory, ['init', '--quiet', '--bare', `--initial-branch=${defaultBranch}`]);
  await git(directory, ['fast-import', '--quiet', '--force', '--done'], {
    input: importStream(commits),
  });
  const listed = await git(directory, ['cat-file', '--batch-check=%(objectname)'], {
    input: commits.map((_, index) => `refs/imported/${index}\n`).join(''),
  });
  const ids = listed.toString('utf8').trim().split('\n');
  await git(directory, ['update-ref', '--stdin'], {
    input: commits.map((_, index) => `delete refs/imported/${index}\n`).join(''),
  });
  if (options.prune === true) await git(directory, ['gc', '--quiet', '--prune=now']);
  return { path: directory, commits: ids };
}

function importStream(commits: readonly RepositoryCommit[]): Buffer {
  const parts: (string | Uint8Array)[] = [];
  const data = (content: string | Uint8Array) => {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    parts.push(`data ${bytes.byteLength}\n`, bytes, '\n');
  };
  const tips = new Map<string, number>();
  for (const [index, commit] of commits.entries()) {
    const branch = commit.branch ?? 'master';
    const parent = commit.parent === undefined ? (tips.get(branch) ?? index - 1) : (commit.parent ?? -1);
    const when = `imagevet <test@imagevet.example> ${Math.floor(new Date(commit.date).getTime() / 1000)} +0000`;
    parts.push(`commit refs/imported/${index}\nmark :${index + 1}\nauthor ${when}\ncommitter ${when}\n`);
    data(commit.message);
    if (parent >= 0) parts.push(`from :${parent + 1}\n`);
    for (const [path, file] of Object.entries(commit.files)) {
      const quoted = JSON.stringify(path);
      if (file === null) parts.push(`D ${quoted}\n`);
      else if (typeof file === 'object' && 'submodule' in file) {
        parts.push(`M 160000 ${file.submodule} ${quoted}\n`);
      } else {
        const [mode, content] = modeAndContent(file);
        parts.push(`M ${mode} inline ${quoted}\n`);
        data(content);
      }
    }
    parts.push('\n');
    tips.set(branch, index);
    for (const tag of commit.tags ?? []) parts.push(`reset refs/tags/${tag}\nfrom :${index + 1}\n\n`);
  }
  for (const [branch, index] of tips) parts.push(`reset refs/heads/${branch}\nfrom :${index + 1}\n\n`);
  parts.push('done\n');
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

function modeAndContent(
  file: Exclude<CommitFile, null | { readonly submodule: string }>,
): readonly [mode: string, content: string | Uint8Array] {
  if (typeof file === 'string' || file instanceof Uint8Array) return ['100644', file];
  if ('executable' in file) return ['100755', file.executable];
  return ['120000', file.symlink];
}
