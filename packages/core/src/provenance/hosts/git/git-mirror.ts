import type { OperationOptions } from '@imagevet/registry';
import type { RefReader } from '../../../drift/types.ts';
import { CoreError } from '../../../errors.ts';
import type { Reachability, SourceEntry, SourceHost } from '../../../lineage/types.ts';
import { isCommitId, isFetchRef, toRepositoryPath, toRepositoryUrl } from '../../location.ts';
import { checkCommit, checkPath } from '../input.ts';
import { GitExit, type GitOptions, runGit } from './git-command.ts';
import { readRef } from './git-refs.ts';
import { listTree, readBlobs, type TreeEntry } from './git-tree.ts';
import { MirrorStore, type MirrorStoreOptions } from './mirror-store.ts';

/** Options of {@link gitMirrorHost}. */
export interface GitMirrorHostOptions extends GitOptions, MirrorStoreOptions {
  /** Largest file {@link SourceHost.readFile} accepts, in bytes. @defaultValue 16777216 */
  readonly maxFileBytes?: number;
  /** Largest tree {@link SourceHost.readDirectory} accepts, in bytes. @defaultValue 536870912 */
  readonly maxTreeBytes?: number;
  /** Most files {@link SourceHost.readDirectory} accepts. @defaultValue 20000 */
  readonly maxEntries?: number;
}

/**
 * Creates a host for any git URL: it mirrors branches and tags into a directory with the `git` program and reads there.
 * Commits are never fetched by id, so a commit of a fork is simply not there. Clones on disk are read as they are.
 */
export function gitMirrorHost(options: GitMirrorHostOptions): SourceHost & RefReader {
  return new GitMirrorHost(options);
}

class GitMirrorHost implements SourceHost, RefReader {
  readonly #options: GitMirrorHostOptions;
  readonly #store: MirrorStore;

  constructor(options: GitMirrorHostOptions) {
    this.#options = options;
    this.#store = new MirrorStore(options);
  }

  supports(repository: string): boolean {
    const url = toRepositoryUrl(repository);
    return url !== undefined && this.#store.supports(url);
  }

  async readFile(
    repository: string,
    commit: string,
    path: string,
    { signal }: OperationOptions = {},
  ): Promise<{ readonly content: Uint8Array; readonly url: string }> {
    const url = checkRepository(repository);
    const directory = await this.#openAt(url, commit, signal);
    const { maxFileBytes: maxBytes = 16 * 1024 * 1024 } = this.#options;
    const operation = `read ${path} of ${url} at ${commit.slice(0, 12)}`;
    let target = checkPath(path);
    for (let links = 0; links <= 5; links += 1) {
      const [entry] = await listTree(
        { directory, commit, path: target, maxBytes: 65_536, signal },
        this.#options,
      );
      if (entry === undefined || entry.path !== target || entry.type === 'submodule') break;
      if (entry.size > maxBytes) {
        throw new CoreError(
          'SOURCE_LIMIT_EXCEEDED',
          `${operation}: ${entry.size} bytes; the limit is ${maxBytes}`,
        );
      }
      const blob = ['cat-file', 'blob', entry.id];
      const content = await runGit({ directory, arguments: blob, maxBytes, signal }, this.#options);
      if (entry.type !== 'symlink') return { content, url: `git+${url}@${commit}#${path}` };
      const next = toRepositoryPath(`${target}/../${content.toString('utf8')}`);
      if (next === undefined || content.toString('utf8').startsWith('/')) break;
      target = next;
    }
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such file`, {
      details: { repository: url, commit, path },
    });
  }

  async *readDirectory(
    repository: string,
    commit: string,
    directory: string,
    { signal }: OperationOptions = {},
  ): AsyncGenerator<SourceEntry> {
    const url = checkRepository(repository);
    const mirror = await this.#openAt(url, commit, signal);
    const root = checkPath(directory);
    const operation = `list ${root} of ${url} at ${commit.slice(0, 12)}`;
    const prefix = root === '.' ? '' : `${root}/`;
    const { maxEntries = 20_000, maxTreeBytes = 512 * 1024 * 1024 } = this.#options;
    const listed = await listTree(
      { directory: mirror, commit, path: prefix, maxBytes: 64 * 1024 * 1024, recursive: true, signal },
      this.#options,
    );
    const entries = listed.filter((entry) => entry.path.startsWith(prefix));
    if (entries.length === 0)
      throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such directory`);
    const bytes = entries.reduce((sum, entry) => sum + entry.size, 0);
    if (entries.length > maxEntries || bytes > maxTreeBytes) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `${operation}: ${entries.length} files, ${bytes} bytes; the limits are ${maxEntries} and ${maxTreeBytes}`,
      );
    }
    const toEntry = ({ path, type }: TreeEntry, content: Uint8Array): SourceEntry => ({
      path: path.slice(prefix.length),
      type,
      content,
    });
    const files = entries.filter((entry) => entry.type !== 'submodule');
    for (const entry of entries) if (entry.type === 'submodule') yield toEntry(entry, Buffer.from(entry.id));
    let index = 0;
    for await (const content of readBlobs({ directory: mirror, files, signal }, this.#options)) {
      yield toEntry(files[index]!, content);
      index += 1;
    }
  }

  /** The newest commit of the default branch's first-parent line: what the branch held then, not what was written then. */
  async commitOf(
    repository: string,
    path: string,
    { asOf, signal }: OperationOptions & { readonly asOf?: Date } = {},
  ): Promise<string> {
    const url = checkRepository(repository);
    const directory = await this.#store.open(url, { notBefore: asOf ?? 'now', signal });
    const until = asOf === undefined ? [] : [`--until=${asOf.toISOString()}`];
    const args = [
      'log',
      '--first-parent',
      '--max-count=1',
      '--format=%H',
      ...until,
      'HEAD',
      '--',
      checkPath(path),
    ];
    const printed = await runGit({ directory, arguments: args, maxBytes: 4096, signal }, this.#options);
    const commit = printed.toString('utf8').trim();
    if (isCommitId(commit)) return commit;
    const when = asOf === undefined ? '' : ` as of ${asOf.toISOString()}`;
    throw new CoreError(
      'SOURCE_NOT_FOUND',
      `find the commit of ${path} in ${url}: no commit changes it${when}`,
      {
        details: { repository: url, path },
      },
    );
  }

  async reachability(
    repository: string,
    commit: string,
    { ref, signal }: OperationOptions & { readonly ref?: string } = {},
  ): Promise<Reachability> {
    const url = checkRepository(repository);
    try {
      const directory = await this.#openAt(url, commit, signal);
      const holding = async (...patterns: readonly string[]) => {
        const args = [
          'for-each-ref',
          '--count=1',
          '--format=%(refname)',
          `--contains=${commit}`,
          '--',
          ...patterns,
        ];
        return (
          (await runGit({ directory, arguments: args, maxBytes: 65_536, signal }, this.#options)).length > 0
        );
      };
      if (ref !== undefined && isFetchRef(ref) && (await holding(ref))) return 'reachable';
      return (await holding('refs/heads/', 'refs/tags/')) ? 'reachable' : 'unreachable';
    } catch (error) {
      if (error instanceof CoreError && error.code === 'SOURCE_COMMIT_NOT_FOUND') return 'unreachable';
      throw error;
    }
  }

  /** As of the mirror's last fetch, which is at most `maxAgeMs` ago. */
  async refOf(
    repository: string,
    ref: string,
    { signal }: OperationOptions = {},
  ): Promise<string | undefined> {
    const url = checkRepository(repository);
    const directory = await this.#store.open(url, { notBefore: 'now', signal });
    return readRef({ directory, ref, signal }, this.#options);
  }

  async treeOf(
    repository: string,
    commit: string,
    directory: string,
    { signal }: OperationOptions = {},
  ): Promise<string | undefined> {
    const mirror = await this.#openAt(checkRepository(repository), commit, signal);
    const path = checkPath(directory);
    const args = [
      'rev-parse',
      '--verify',
      '--end-of-options',
      path === '.' ? `${commit}^{tree}` : `${commit}:${path}`,
    ];
    try {
      const command = { directory: mirror, arguments: args, maxBytes: 4096, signal };
      const tree = (await runGit(command, this.#options)).toString('utf8').trim();
      return isCommitId(tree) ? tree : undefined;
    } catch (error) {
      if (error instanceof GitExit) return undefined;
      throw error;
    }
  }

  async committedAt(
    repository: string,
    commit: string,
    { signal }: OperationOptions = {},
  ): Promise<Date | undefined> {
    try {
      const directory = await this.#openAt(checkRepository(repository), commit, signal);
      const args = ['show', '--no-patch', '--no-show-signature', '--format=%ct', commit, '--'];
      const printed = await runGit({ directory, arguments: args, maxBytes: 4096, signal }, this.#options);
      const seconds = Number(printed.toString('utf8').trim());
      return Number.isSafeInteger(seconds) ? new Date(seconds * 1000) : undefined;
    } catch (error) {
      if (error instanceof CoreError && error.code === 'SOURCE_COMMIT_NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** Opens the mirror, brought up to date when it does not have the commit. */
  async #openAt(url: string, commit: string, signal: AbortSignal | undefined): Promise<string> {
    checkCommit(commit);
    let directory = await this.#store.open(url, { signal });
    if (await this.#has(directory, commit, signal)) return directory;
    directory = await this.#store.open(url, { notBefore: 'now', signal });
    if (await this.#has(directory, commit, signal)) return directory;
    throw new CoreError(
      'SOURCE_COMMIT_NOT_FOUND',
      `open ${url} at ${commit.slice(0, 12)}: no branch or tag of the repository holds this commit`,
      {
        details: { repository: url, commit },
        hint: 'Its branch was probably force-pushed; the claim stands, but the file cannot be read.',
      },
    );
  }

  async #has(directory: string, commit: string, signal: AbortSignal | undefined): Promise<boolean> {
    const args = ['cat-file', '-e', `${commit}^{commit}`];
    try {
      await runGit({ directory, arguments: args, maxBytes: 4096, signal }, this.#options);
      return true;
    } catch (error) {
      if (error instanceof GitExit) return false;
      throw error;
    }
  }
}

function checkRepository(repository: string): string {
  const url = toRepositoryUrl(repository);
  if (url !== undefined) return url;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `${JSON.stringify(repository.slice(0, 200))} is not a repository URL`,
  );
}
