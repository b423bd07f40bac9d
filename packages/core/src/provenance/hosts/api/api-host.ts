import type { OperationOptions } from '@imagevet/registry';
import type { RefReader } from '../../../drift/types.ts';
import { CoreError } from '../../../errors.ts';
import type { Reachability, RepositoryIdentity, SourceEntry, SourceHost } from '../../../lineage/types.ts';
import { toRepositoryUrl } from '../../location.ts';
import { checkCommit, checkPath, checkRef, type NamedRef } from '../input.ts';
import { isContentOf, type TreeFile } from '../tree-file.ts';
import type { HostQuestion } from './api.ts';
import type { ApiHostOptions, HostDialect } from './dialect.ts';
import { readTarball } from './tarball.ts';

/** Creates a host that is asked in a dialect; what is the same for all of them is here. */
export function apiHost(dialect: HostDialect, options: ApiHostOptions): SourceHost & RefReader {
  return new ApiHost(dialect, options);
}

class ApiHost implements SourceHost, RefReader {
  readonly #dialect: HostDialect;
  readonly #options: ApiHostOptions;

  constructor(dialect: HostDialect, options: ApiHostOptions) {
    this.#dialect = dialect;
    this.#options = options;
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
    const url = this.#dialect.fileUrl(name, commit, file);
    return { content: await this.#load(name, commit, file, signal), url };
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
    const files = await this.#listFiles(name, commit, root, options.signal);
    const prefix = root === '.' ? '' : `${root}/`;
    const missing = new Map(files.map((file) => [file.path, file]));
    const toEntry = (file: TreeFile, content: Uint8Array): SourceEntry => {
      missing.delete(file.path);
      return { path: file.path.slice(prefix.length), type: file.type, content };
    };
    for (const file of files) if (file.type === 'submodule') yield toEntry(file, Buffer.from(file.id ?? ''));
    for await (const { path, content } of this.#readArchive(name, commit, root, missing, options.signal)) {
      const file = missing.get(path);
      if (file !== undefined && isContentOf(file, content)) yield toEntry(file, content);
    }
    // `export-ignore` and `export-subst` leave files out of archives, or change them.
    const { maxTreeBytes = MAX_TREE } = this.#options;
    let bytes = 0;
    for (const file of missing.values()) {
      const { content } = await this.readFile(repository, commit, file.path, options);
      bytes += content.byteLength;
      const operation = `read ${file.path} of ${name} at ${commit.slice(0, 12)}`;
      if (!isContentOf(file, content)) {
        await this.#dialect.web.forget(this.#dialect.fileUrl(name, commit, file.path));
        throw new CoreError('SOURCE_INVALID', `${operation}: it is not what the tree lists`, {
          details: { repository: name, commit, path: file.path, expected: file.id ?? file.size },
        });
      }
      if (bytes > maxTreeBytes) {
        throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${operation}: more than ${maxTreeBytes} bytes in all`);
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
    const operation = `find the commit of ${path} in ${name}`;
    const commit = await this.#dialect.commitOf(name, checkPath(path), asOf, { operation, signal });
    if (commit !== undefined) return commit;
    const when = asOf === undefined ? '' : ` as of ${asOf.toISOString()}`;
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: no commit changes it${when}`, {
      details: { repository: name, path },
    });
  }

  async reachability(
    repository: string,
    commit: string,
    { ref, signal }: OperationOptions & { readonly ref?: string } = {},
  ): Promise<Reachability> {
    checkCommit(commit);
    const name = this.#name(repository);
    const operation = `look for ${commit.slice(0, 12)} in the branches of ${name}`;
    return this.#dialect.reachability(name, commit, hintOf(ref), { operation, signal });
  }

  async refOf(
    repository: string,
    ref: string,
    { signal }: OperationOptions = {},
  ): Promise<string | undefined> {
    const name = this.#name(repository);
    return this.#dialect.refOf(name, checkRef(ref), { operation: `read ${ref} of ${name}`, signal });
  }

  async treeOf(
    repository: string,
    commit: string,
    directory: string,
    { signal }: OperationOptions = {},
  ): Promise<string | undefined> {
    const name = this.#name(repository);
    checkCommit(commit);
    const root = checkPath(directory);
    const operation = `find the tree of ${root} of ${name} at ${commit.slice(0, 12)}`;
    return this.#dialect.treeOf(name, commit, root, { operation, signal, keep: 'forever' });
  }

  async committedAt(
    repository: string,
    commit: string,
    { signal }: OperationOptions = {},
  ): Promise<Date | undefined> {
    const name = this.#name(repository);
    checkCommit(commit);
    const operation = `find the time of ${commit.slice(0, 12)} of ${name}`;
    const question = { operation, signal, keep: 'forever' } as const;
    const time = new Date(String(await this.#dialect.committedAt(name, commit, question)));
    return Number.isNaN(time.getTime()) ? undefined : time;
  }

  async identityOf(
    repository: string,
    { signal }: OperationOptions = {},
  ): Promise<RepositoryIdentity | undefined> {
    const name = this.#name(repository);
    return this.#dialect.identityOf(name, { operation: `find out which repository ${name} is`, signal });
  }

  async #load(
    name: string,
    commit: string,
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const operation = `read ${path} of ${name} at ${commit.slice(0, 12)}`;
    const { maxFileBytes: maxBytes = 16 * 1024 * 1024 } = this.#options;
    const content = await this.#dialect.readFile(name, commit, path, {
      ...{ operation, maxBytes, signal },
      keep: 'forever',
    });
    if (content !== undefined) return content;
    await this.#requireCommit(name, commit, { operation, signal });
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such file`, {
      details: { repository: name, commit, path },
    });
  }

  async #requireCommit(name: string, commit: string, question: HostQuestion): Promise<void> {
    if (await this.#dialect.hasCommit(name, commit, question)) return;
    const known = await this.#dialect.hasRepository(name, question);
    throw new CoreError(
      'SOURCE_COMMIT_NOT_FOUND',
      `${question.operation}: ${known ? 'the repository no longer has this commit' : 'there is no such repository'}`,
      {
        details: { repository: name, commit },
        hint: known
          ? 'Its branch was probably force-pushed; the claim stands, but the file cannot be read.'
          : 'It was removed, renamed or is private.',
      },
    );
  }

  async #listFiles(
    name: string,
    commit: string,
    root: string,
    signal: AbortSignal | undefined,
  ): Promise<readonly TreeFile[]> {
    const operation = `list ${root} of ${name} at ${commit.slice(0, 12)}`;
    const { maxEntries = 20_000, maxTreeBytes = MAX_TREE } = this.#options;
    const files = await this.#dialect.listFiles(name, commit, root, {
      ...{ operation, maxEntries, signal },
      keep: 'forever',
    });
    if (files === undefined) await this.#requireCommit(name, commit, { operation, signal });
    if (files === undefined || files.length === 0)
      throw new CoreError('SOURCE_NOT_FOUND', `${operation}: the commit has no such directory`);
    const bytes = files.reduce((sum, file) => sum + (file.size ?? 0), 0);
    if (files.length > maxEntries || bytes > maxTreeBytes) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `${operation}: ${files.length} files, ${bytes} bytes; the limits are ${maxEntries} and ${maxTreeBytes}`,
      );
    }
    return files;
  }

  async *#readArchive(
    name: string,
    commit: string,
    directory: string,
    wanted: ReadonlyMap<string, TreeFile>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ readonly path: string; readonly content: Uint8Array }> {
    if (wanted.size === 0) return;
    const operation = `download ${name} at ${commit.slice(0, 12)}`;
    const { maxTreeBytes: maxBytes = MAX_TREE } = this.#options;
    const question = { operation, maxBytes, signal, keep: 'forever' } as const;
    const body = await this.#dialect.openArchive(name, commit, directory, [...wanted.values()], question);
    if (body !== undefined) yield* readTarball(body, (path) => wanted.has(path), { maxBytes, operation });
  }

  #name(repository: string): string {
    const name = this.#find(repository);
    if (name !== undefined) return name;
    throw new CoreError(
      'SOURCE_UNSUPPORTED',
      `${JSON.stringify(repository.slice(0, 200))} is not on ${this.#dialect.site}`,
    );
  }

  #find(repository: string): string | undefined {
    const url = toRepositoryUrl(repository);
    const { host, pathname } = new URL(this.#dialect.site);
    const prefix = `https://${host}${pathname.replace(/\/$/, '')}/`;
    if (url === undefined || !url.startsWith(prefix)) return undefined;
    const name = url.slice(prefix.length);
    return this.#dialect.isName(name) ? name : undefined;
  }
}

const MAX_TREE = 512 * 1024 * 1024;

/** A ref said to hold a commit is only a hint: one that is no full name is left aside. */
function hintOf(ref: string | undefined): NamedRef | undefined {
  try {
    return ref === undefined ? undefined : checkRef(ref);
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_UNSUPPORTED') return undefined;
    throw error;
  }
}
