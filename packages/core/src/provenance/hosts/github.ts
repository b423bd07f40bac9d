import type { OperationOptions } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { Reachability, SourceEntry, SourceHost } from '../../lineage/types.ts';
import { type HttpOptions, readUrl } from '../http.ts';
import { isCommitId, toRepositoryPath, toRepositoryUrl } from '../location.ts';
import { ContentCache } from './content-cache.ts';
import { blobId } from './git-object.ts';
import { GitHubApi } from './github-api.ts';
import { reachability } from './github-reachability.ts';
import { type TreeFile, toTreeFiles, toTreeId } from './github-tree.ts';
import { readTarball } from './tarball.ts';

/** Options of {@link gitHubHost}. */
export interface GitHubHostOptions extends HttpOptions {
  /** Where repositories are named. @defaultValue `https://github.com` */
  readonly webUrl?: string;
  /** @defaultValue `https://api.github.com` */
  readonly apiUrl?: string;
  /** Files at a commit; not counted against the API's budget. @defaultValue `https://raw.githubusercontent.com` */
  readonly rawUrl?: string;
  /** Where the API redirects downloads to. @defaultValue `https://codeload.github.com` */
  readonly archiveUrl?: string;
  /** Sent to `apiUrl` only. Without one the API answers 60 requests an hour. */
  readonly token?: string;
  /** Largest file {@link SourceHost.readFile} accepts, in bytes. @defaultValue 16777216 */
  readonly maxFileBytes?: number;
  /** Largest tree {@link SourceHost.readDirectory} accepts, unpacked, in bytes. @defaultValue 536870912 */
  readonly maxTreeBytes?: number;
  /** Most files {@link SourceHost.readDirectory} accepts. @defaultValue 20000 */
  readonly maxEntries?: number;
  /** Files kept in memory, in bytes; a file at a commit never changes. @defaultValue 33554432 */
  readonly cacheBytes?: number;
}

/**
 * Creates the host for repositories on GitHub (or GitHub Enterprise, by its URLs). Every file of a directory is
 * checked against the object id its tree names. GitHub serves commits of forks under the parent's name:
 * only {@link SourceHost.reachability} tells whether a commit is the repository's own.
 *
 * @see https://docs.github.com/en/rest
 */
export function gitHubHost(options: GitHubHostOptions = {}): SourceHost {
  return new GitHubHost(options);
}

class GitHubHost implements SourceHost {
  readonly #options: GitHubHostOptions;
  readonly #webUrl: string;
  readonly #rawUrl: string;
  readonly #api: GitHubApi;
  readonly #files: ContentCache<Uint8Array>;

  constructor(options: GitHubHostOptions) {
    this.#options = options;
    this.#webUrl = options.webUrl ?? 'https://github.com';
    this.#rawUrl = (options.rawUrl ?? 'https://raw.githubusercontent.com').replace(/\/$/, '');
    this.#api = new GitHubApi(options.apiUrl ?? 'https://api.github.com', options.token, options);
    this.#files = new ContentCache(options.cacheBytes ?? 32 * 1024 * 1024, (content) => content.byteLength);
  }

  supports(repository: string): boolean {
    return this.#find(repository) !== undefined;
  }

  async readFile(
    repository: string,
    commit: string,
    path: string,
    { signal }: OperationOptions = {},
  ): Promise<{ readonly content: Uint8Array; readonly url: string }> {
    const name = this.#name(repository);
    checkCommit(commit);
    const file = checkPath(path);
    const url = `${this.#rawUrl}/${name}/${commit}/${encodePath(file)}`;
    const load = () => this.#load(name, commit, file, url, signal);
    return { content: await this.#files.get(url, load, signal), url };
  }

  async *readDirectory(
    repository: string,
    commit: string,
    directory: string,
    options: OperationOptions = {},
  ): AsyncGenerator<SourceEntry> {
    const name = this.#name(repository);
    checkCommit(commit);
    const root = checkPath(directory);
    const files = await this.#listTree(name, commit, root, options.signal);
    const prefix = root === '.' ? '' : `${root}/`;
    const missing = new Map(files.map((file) => [file.path, file]));
    const toEntry = (file: TreeFile, content: Uint8Array): SourceEntry => {
      missing.delete(file.path);
      return { path: file.path.slice(prefix.length), type: file.type, content };
    };
    for (const file of files) if (file.type === 'submodule') yield toEntry(file, Buffer.from(file.id));
    for await (const { path, content } of this.#openTarball(name, commit, missing, options.signal)) {
      const file = missing.get(path);
      if (file !== undefined && blobId(content, file.id) === file.id) yield toEntry(file, content);
    }
    // `export-ignore` and `export-subst` leave files out of archives, or change them.
    for (const file of missing.values()) {
      const { content } = await this.readFile(repository, commit, file.path, options);
      if (blobId(content, file.id) !== file.id) {
        throw new CoreError('SOURCE_INVALID', `read ${file.path} of ${name}: expected object ${file.id}`);
      }
      yield toEntry(file, content);
    }
  }

  async commitOf(
    repository: string,
    path: string,
    { asOf, signal }: OperationOptions & { readonly asOf?: Date } = {},
  ): Promise<string> {
    const name = this.#name(repository);
    const query = new URLSearchParams({ path: checkPath(path), per_page: '1' });
    if (asOf !== undefined) query.set('until', `${asOf.toISOString().slice(0, 19)}Z`);
    const operation = `find the commit of ${path} in ${name}`;
    const commits = await this.#api.json(`/repos/${name}/commits?${query}`, operation, signal);
    const sha: unknown = Array.isArray(commits) ? commits[0]?.sha : undefined;
    if (typeof sha === 'string' && isCommitId(sha)) return sha;
    const when = asOf === undefined ? '' : ` as of ${asOf.toISOString()}`;
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: no commit changes it${when}`, {
      details: { repository: name, path },
    });
  }

  /** Undefined without a token too: the requests anonymous callers have are for what only they can tell. */
  async treeOf(
    repository: string,
    commit: string,
    directory: string,
    { signal }: OperationOptions = {},
  ): Promise<string | undefined> {
    const name = this.#name(repository);
    checkCommit(commit);
    const root = checkPath(directory);
    if (this.#options.token === undefined) return undefined;
    const operation = `find the tree of ${root} of ${name} at ${commit.slice(0, 12)}`;
    const path = root === '.' ? `git/commits/${commit}` : `git/trees/${commit}?recursive=1`;
    return toTreeId(await this.#api.json(`/repos/${name}/${path}`, operation, signal), root);
  }

  async reachability(
    repository: string,
    commit: string,
    { ref, signal }: OperationOptions & { readonly ref?: string } = {},
  ): Promise<Reachability> {
    checkCommit(commit);
    return reachability(this.#api, this.#name(repository), commit, ref, signal);
  }

  async #load(
    name: string,
    commit: string,
    path: string,
    url: string,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const operation = `read ${path} of ${name} at ${commit.slice(0, 12)}`;
    const { maxFileBytes: maxBytes = 16 * 1024 * 1024, token } = this.#options;
    const answer = await readUrl(url, { operation, maxBytes, signal }, this.#options);
    if (answer.status === 200) return answer.body;
    if (answer.status !== 404) {
      throw new CoreError('SOURCE_INVALID', `${operation}: expected status 200, received ${answer.status}`);
    }
    if (token !== undefined) {
      const content = await this.#loadPrivate(name, commit, path, operation, signal);
      if (content !== undefined) return content;
    }
    await this.#requireCommit(name, commit, operation, signal);
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such file`, {
      details: { repository: name, commit, path },
    });
  }

  /** Raw files take no token; the API reads files of private repositories. */
  async #loadPrivate(
    name: string,
    commit: string,
    path: string,
    operation: string,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    const file = await this.#api.json(
      `/repos/${name}/contents/${encodePath(path)}?ref=${commit}`,
      operation,
      signal,
    );
    if (typeof file !== 'object' || file === null || !('content' in file) || !('encoding' in file))
      return undefined;
    return file.encoding === 'base64' ? Buffer.from(String(file.content), 'base64') : undefined;
  }

  async #requireCommit(
    name: string,
    commit: string,
    operation: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if ((await this.#api.json(`/repos/${name}/git/commits/${commit}`, operation, signal)) !== undefined)
      return;
    const known = (await this.#api.json(`/repos/${name}`, operation, signal)) !== undefined;
    throw new CoreError(
      'SOURCE_COMMIT_NOT_FOUND',
      `${operation}: ${known ? 'the repository no longer has this commit' : 'there is no such repository'}`,
      {
        details: { repository: name, commit },
        hint: known
          ? 'Its branch was probably force-pushed; the claim stands, but the file cannot be read.'
          : 'It was removed, renamed or is private.',
      },
    );
  }

  async #listTree(
    name: string,
    commit: string,
    root: string,
    signal: AbortSignal | undefined,
  ): Promise<readonly TreeFile[]> {
    const operation = `list ${root} of ${name} at ${commit.slice(0, 12)}`;
    const tree = await this.#api.json(`/repos/${name}/git/trees/${commit}?recursive=1`, operation, signal);
    if (tree === undefined) await this.#requireCommit(name, commit, operation, signal);
    const files = toTreeFiles(tree, root, operation);
    const { maxEntries = 20_000, maxTreeBytes = 512 * 1024 * 1024 } = this.#options;
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    if (files.length > maxEntries || bytes > maxTreeBytes) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `${operation}: ${files.length} files, ${bytes} bytes; the limits are ${maxEntries} and ${maxTreeBytes}`,
      );
    }
    return files;
  }

  async *#openTarball(
    name: string,
    commit: string,
    wanted: ReadonlyMap<string, TreeFile>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ readonly path: string; readonly content: Uint8Array }> {
    const operation = `download ${name} at ${commit.slice(0, 12)}`;
    const { maxTreeBytes: maxBytes = 512 * 1024 * 1024, archiveUrl = 'https://codeload.github.com' } =
      this.#options;
    if (wanted.size === 0) return;
    const { status, body } = await this.#api.open(`/repos/${name}/tarball/${commit}`, operation, {
      maxBytes,
      redirectOrigins: [new URL(archiveUrl).origin],
      signal,
    });
    if (status !== 200) {
      for await (const _ of body);
      throw new CoreError('SOURCE_INVALID', `${operation}: expected status 200, received ${status}`);
    }
    yield* readTarball(body, (path) => wanted.has(path), { maxBytes, operation });
  }

  #name(repository: string): string {
    const name = this.#find(repository);
    if (name !== undefined) return name;
    throw new CoreError(
      'SOURCE_UNSUPPORTED',
      `${JSON.stringify(repository.slice(0, 200))} is not on ${this.#webUrl}`,
    );
  }

  #find(repository: string): string | undefined {
    const url = toRepositoryUrl(repository);
    const prefix = `https://${new URL(this.#webUrl).host}/`;
    if (url === undefined || !url.startsWith(prefix)) return undefined;
    const name = url.slice(prefix.length);
    return /^[\w-][\w.-]*\/[\w.-]+$/.test(name) && !/\/\.\.?$/.test(name) ? name : undefined;
  }
}

function checkCommit(commit: string): void {
  if (isCommitId(commit)) return;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `expected a full commit id, received ${JSON.stringify(commit.slice(0, 80))}`,
  );
}

function checkPath(path: string): string {
  const normal = toRepositoryPath(path);
  if (normal !== undefined) return normal;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `path ${JSON.stringify(path.slice(0, 200))} leaves the repository`,
  );
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
