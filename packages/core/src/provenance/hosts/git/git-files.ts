import { CoreError } from '../../../errors.ts';
import { toRepositoryPath } from '../../location.ts';
import { ContentCache } from '../content-cache.ts';
import type { GitObject, GitObjects } from './git-objects.ts';

/** Where a path of a commit leads. */
export type GitPath =
  /** A file: its object id, and the path after symbolic links. */
  | { readonly status: 'file'; readonly id: string; readonly path: string }
  /** A directory. */
  | { readonly status: 'directory'; readonly id: string; readonly path: string }
  /** The repository does not have the commit, or what has that id is no commit. */
  | { readonly status: 'no-commit' }
  /** The commit has no such path, or it is a submodule or a link that leads nowhere. */
  | { readonly status: 'no-path' }
  /** The repository is partial: an object on the way is not in it. */
  | { readonly status: 'no-object'; readonly id: string };

/** An entry of a directory. */
export interface GitTreeEntry {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'submodule';
  readonly id: string;
}

const MAX_LINKS = 5;

/** Finds paths in commits; commits and directories are read once and kept, up to a limit. */
export class GitFiles {
  readonly #objects: Pick<GitObjects, 'read'>;
  readonly #kept: ContentCache<GitObject>;

  /** @param keptBytes most bytes of commits and directories kept; 32 MiB by default */
  constructor(objects: Pick<GitObjects, 'read'>, keptBytes: number = 32 * 1024 * 1024) {
    this.#objects = objects;
    this.#kept = new ContentCache(keptBytes, ({ content }) => content.byteLength);
  }

  /**
   * Follows a path from a commit, through symbolic links.
   *
   * @throws {@link CoreError} as `GitObjects.read`
   */
  async find(
    commit: string,
    path: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<GitPath> {
    const tree = await this.#treeOf(commit, options);
    if (tree === undefined) return { status: 'no-commit' };
    let target = toRepositoryPath(path);
    for (let links = 0; target !== undefined && links <= MAX_LINKS; links += 1) {
      const end = await this.#descend(tree, target, options);
      if (!('link' in end)) return end;
      const read = await this.#objects.read(end.link, options);
      if (read === undefined) return { status: 'no-object', id: end.link };
      target = toRepositoryPath(end.replace(Buffer.from(read.content).toString('utf8')) ?? '/');
    }
    return { status: 'no-path' };
  }

  /** Lists a directory by its object id. @returns undefined when the repository does not have it */
  async list(
    id: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly GitTreeEntry[] | undefined> {
    const tree = await this.#readTree(id, options);
    return tree === undefined ? undefined : [...treeEntries(tree)];
  }

  /** The tree of a commit, or of the commit an annotated tag is put on. */
  async #treeOf(commit: string, options: { readonly signal?: AbortSignal }): Promise<string | undefined> {
    let id = commit;
    for (let tags = 0; tags <= MAX_LINKS; tags += 1) {
      const object = await this.#read(id, options);
      if (object === undefined) return undefined;
      const head = Buffer.from(object.content).toString('latin1', 0, 160);
      const [, tree] = /^tree ([0-9a-f]+)\n/.exec(head) ?? [];
      if (object.type === 'commit' && tree !== undefined) return tree;
      const [, tagged] = /^object ([0-9a-f]+)\ntype (?:commit|tag)\n/.exec(head) ?? [];
      if (object.type !== 'tag' || tagged === undefined) return undefined;
      id = tagged;
    }
    return undefined;
  }

  /** Walks down until the path ends or a symbolic link stands in the way; `replace` is the whole path through that link. */
  async #descend(
    root: string,
    path: string,
    options: { readonly signal?: AbortSignal },
  ): Promise<GitPath | { readonly link: string; replace(target: string): string | undefined }> {
    const names = path === '.' ? [] : path.split('/');
    let id = root;
    for (const [index, name] of names.entries()) {
      const tree = await this.#readTree(id, options);
      if (tree === undefined) return { status: 'no-object', id };
      const entry = treeEntries(tree).find((found) => found.name === name);
      if (entry === undefined || entry.type === 'submodule') return { status: 'no-path' };
      if (entry.type === 'symlink') {
        const before = names.slice(0, index).join('/');
        const after = names.slice(index + 1).join('/');
        return {
          link: entry.id,
          replace: (target) =>
            target.startsWith('/') ? undefined : `${before === '' ? '.' : before}/${target}/${after}`,
        };
      }
      if (entry.type === 'file') {
        return index === names.length - 1 ? { status: 'file', id: entry.id, path } : { status: 'no-path' };
      }
      id = entry.id;
    }
    return { status: 'directory', id, path };
  }

  async #readTree(id: string, options: { readonly signal?: AbortSignal }): Promise<GitObject | undefined> {
    const object = await this.#read(id, options);
    return object?.type === 'tree' ? object : undefined;
  }

  async #read(id: string, { signal }: { readonly signal?: AbortSignal }): Promise<GitObject | undefined> {
    try {
      return await this.#kept.get(id, () => this.#load(id), signal);
    } catch (error) {
      if (error === NOT_THERE) return undefined;
      throw error;
    }
  }

  /** What is not there is not kept: the mirror can be brought up to date. */
  async #load(id: string): Promise<GitObject> {
    const object = await this.#objects.read(id);
    if (object === undefined) throw NOT_THERE;
    return object;
  }
}

const NOT_THERE = new CoreError('SOURCE_NOT_FOUND', 'the mirror lacks the object');

const MODES: ReadonlyMap<string, GitTreeEntry['type']> = new Map([
  ['40000', 'directory'],
  ['100644', 'file'],
  ['100664', 'file'],
  ['100755', 'file'],
  ['120000', 'symlink'],
  ['160000', 'submodule'],
]);

/** A tree is a row of `<mode> <name>\0<binary id>`. */
function* treeEntries({ id, content }: GitObject): Generator<GitTreeEntry> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const idBytes = id.length / 2;
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at);
    const end = bytes.indexOf(0, space);
    const type = MODES.get(bytes.toString('latin1', at, Math.max(at, space)));
    const next = end + 1 + idBytes;
    if (type === undefined || space < 0 || end < 0 || next > bytes.length) {
      throw new CoreError('SOURCE_INVALID', `read ${id}: it is no git tree`);
    }
    yield { name: bytes.toString('utf8', space + 1, end), type, id: bytes.toString('hex', end + 1, next) };
    at = next;
  }
}
