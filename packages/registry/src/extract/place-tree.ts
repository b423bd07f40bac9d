import { chmod, link, lstat, lutimes, mkdir, symlink, utimes } from 'node:fs/promises';
import { isDirectory, parentOf, type TreeNode, walkTree } from '../layer/filesystem-view.ts';
import { encodeText } from '../layer/tar-text.ts';
import type { LayerEntry } from '../layer/types.ts';
import type { ContentSpool } from './content-spool.ts';
import type { ExtractionLog } from './extraction-log.ts';
import { leadsOutside } from './links.ts';
import { foldName, isPortableName, MAX_NAME_BYTES } from './names.ts';
import type { ExtractOptions, NoticeKind, SkipReason } from './types.ts';

/** What {@link placeTree} needs to know. */
export interface PlaceOptions
  extends Required<Pick<ExtractOptions, 'keepModes' | 'outsideLinks' | 'portable'>> {
  readonly signal: AbortSignal | undefined;
}

/**
 * Gives spooled content its names, inside an empty directory nobody else can write to.
 *
 * Nothing can be written outside: directories first, then files, and links when nothing is written any more, so no
 * step ever goes through a link. `mkdir`, `link` and `symlink` neither follow nor replace what is there already.
 */
export async function placeTree(
  root: TreeNode,
  directory: string,
  spool: ContentSpool,
  log: ExtractionLog,
  options: PlaceOptions,
): Promise<void> {
  const placer = new Placer(root, directory, spool, log, options);
  await placer.each(isDirectory, (path) => placer.directory(path));
  await placer.each(isFile, (path, { entry, content }) => placer.file(path, entry!, content!));
  await placer.each(isSymlink, (path, { entry }) => placer.symlink(path, entry!));
  placer.rest();
  await placer.finishDirectories();
}

const isFile = ({ entry }: TreeNode) => entry?.type === 'file';
const isSymlink = ({ entry }: TreeNode) => entry?.type === 'symlink';

class Placer {
  readonly #root: TreeNode;
  readonly #base: Buffer;
  readonly #spool: ContentSpool;
  readonly #log: ExtractionLog;
  readonly #options: PlaceOptions;
  /** Directories made, parents first. */
  readonly #made: Set<string> = new Set();
  readonly #placed: Set<LayerEntry> = new Set();
  /** Paths that are not to be made, by what is said about their names. */
  readonly #refused: Map<string, SkipReason> = new Map();

  constructor(
    root: TreeNode,
    directory: string,
    spool: ContentSpool,
    log: ExtractionLog,
    options: PlaceOptions,
  ) {
    this.#root = root;
    this.#base = Buffer.from(directory);
    this.#spool = spool;
    this.#log = log;
    this.#options = options;
    for (const [path, node] of walkTree(root)) this.#judgeNames(path, node);
  }

  /** Goes through the nodes of a kind, and skips those whose name or parent is refused. */
  async each(
    wanted: (node: TreeNode) => boolean,
    make: (path: string, node: TreeNode) => Promise<unknown>,
  ): Promise<void> {
    for (const [path, node] of walkTree(this.#root)) {
      if (!wanted(node)) continue;
      this.#options.signal?.throwIfAborted();
      const reason = this.#refusal(path) ?? (await this.#attempt(() => make(path, node)));
      if (reason !== undefined) this.#log.skip(path, node.entry?.type ?? 'directory', reason);
    }
  }

  async directory(path: string): Promise<void> {
    const at = this.#locate(path);
    await mkdir(at, 0o700);
    // The one thing every later write relies on, asked of the disk itself.
    if (!(await lstat(at)).isDirectory()) throw new Error(`${path} is not the directory just made`);
    this.#made.add(path);
  }

  async file(path: string, entry: LayerEntry, source: LayerEntry): Promise<void> {
    const content = await this.#spool.pathOf(source);
    const first = !this.#placed.has(source);
    if (first) {
      await chmod(content, this.#mode(entry.mode, 0o600));
      await utimes(content, ...times(entry.mtime));
    }
    await link(content, this.#locate(path));
    this.#placed.add(source);
    this.#log.file(entry.size, first);
    this.#look(path, entry);
  }

  async symlink(path: string, entry: LayerEntry): Promise<SkipReason | undefined> {
    const target = entry.linkTarget!;
    if (target === '') return 'empty-link';
    if (leadsOutside(this.#root, path, target)) {
      if (this.#options.outsideLinks === 'skip') return 'outside-link';
      this.#log.notice(path, 'outside-link');
    }
    const at = this.#locate(path);
    await symlink(encodeText(target), at);
    await lutimes(at, ...times(entry.mtime));
    this.#log.symlinks += 1;
    return undefined;
  }

  /** Devices, pipes and what is left of hardlinks. */
  rest(): void {
    for (const [path, node] of walkTree(this.#root)) {
      if (isDirectory(node) || isFile(node) || isSymlink(node)) continue;
      const { type } = node.entry!;
      this.#log.skip(path, type, type === 'hardlink' ? 'dangling-hardlink' : 'device');
    }
  }

  /** Modes and times, children first: a directory that may not be entered is finished after what is in it. */
  async finishDirectories(): Promise<void> {
    for (const [path, node] of [...walkTree(this.#root)].filter(([path]) => this.#made.has(path)).reverse()) {
      const at = this.#locate(path);
      const { mode = 0o755, mtime = 0 } = node.entry ?? {};
      await utimes(at, ...times(mtime));
      // The root must stay writable to be moved to its place.
      await chmod(at, this.#mode(mode, 0o700) | (path === '/' ? 0o700 : 0));
      this.#log.directories += 1;
      if (node.entry !== undefined) this.#look(path, node.entry);
    }
  }

  #locate(path: string): Buffer {
    return path === '/' ? this.#base : Buffer.concat([this.#base, encodeText(path)]);
  }

  #mode(stored: number, owner: number): number {
    return this.#options.keepModes ? stored : (stored & 0o1777) | owner;
  }

  #look(path: string, { mode, xattrs }: LayerEntry): void {
    if ((mode & 0o6000) !== 0) this.#log.notice(path, 'set-id');
    if (xattrs !== undefined) this.#log.notice(path, 'xattrs');
  }

  /** Says what is wrong with the names of a directory's children. */
  #judgeNames(path: string, { children }: TreeNode): void {
    const folded = new Set<string>();
    // In the order of the walk, so that the same name is left out every time.
    for (const name of [...(children?.keys() ?? [])].sort()) {
      const at = path === '/' ? `/${name}` : `${path}/${name}`;
      const same = foldName(name);
      if (!isPortableName(name)) this.#question(at, 'unportable-name');
      if (folded.has(same)) this.#question(at, 'name-collision');
      folded.add(same);
      if (encodeText(name).length > MAX_NAME_BYTES) this.#refused.set(at, 'unsupported-name');
    }
  }

  #question(path: string, kind: NoticeKind & SkipReason): void {
    if (this.#options.portable) this.#refused.set(path, kind);
    else this.#log.notice(path, kind);
  }

  #refusal(path: string): SkipReason | undefined {
    if (path === '/' || this.#made.has(parentOf(path))) return this.#refused.get(path);
    return 'parent-skipped';
  }

  /** What the file system does not take is skipped; that it is full, say, is a failure. */
  async #attempt(make: () => Promise<unknown>): Promise<SkipReason | undefined> {
    try {
      return (await make()) as SkipReason | undefined;
    } catch (error) {
      const reason = REFUSALS[(error as NodeJS.ErrnoException).code ?? ''];
      if (reason === undefined) throw error;
      return reason;
    }
  }
}

const REFUSALS: Readonly<Record<string, SkipReason>> = {
  EEXIST: 'name-collision',
  ENAMETOOLONG: 'unsupported-name',
  EILSEQ: 'unsupported-name',
};

/** Access and modification time, within what file systems hold. */
function times(seconds: number): [number, number] {
  const held = Math.min(Math.max(seconds, -(2 ** 31)), 2 ** 33);
  return [held, held];
}
