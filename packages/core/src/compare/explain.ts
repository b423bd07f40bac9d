import { posix } from 'node:path';
import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import { APT_CACHES, sameAptCache } from './benign/apt-cache.ts';
import { isUsedAlike, pythonSource, sameBytecode } from './benign/python-bytecode.ts';
import { BENIGN_CHANGES, benignChange, FONT_CACHE } from './benign/table.ts';
import { DnfHistory } from './packages/dnf-history.ts';
import { DPKG_STATUS_BEFORE, PACKAGE_LISTS, STATUS_DIRECTORY } from './packages/package-lists.ts';
import { PackageMoves } from './packages/package-moves.ts';
import { isBesideRpmDatabase } from './packages/rpm-state.ts';
import type { Explanation, PathPair } from './path-pair.ts';
import type { FileAspect, PackageDifference, UnreadDatabase } from './types.ts';

/** What a cause can account for; all else, such as modes and owners, never has one. */
const EXPLAINABLE: ReadonlySet<FileAspect> = new Set(['content', 'size', 'link']);
/** Links Linux follows before it gives up. */
const MAX_LINKS = 40;
const SET_ID_BITS = 0o6000;
const EXECUTE_BITS = 0o111;

/** Content that is kept beyond {@link KEPT_CONTENT} where it differs, of each image. */
const MAX_UNREAD_BYTES = 112 * 1024 * 1024;

/** Finds causes of differences between two filesystems by parsing what differs. */
export class Explainer {
  /** Paths that may have a cause, but whose content was not kept. */
  readonly unread: Set<string> = new Set();
  readonly #moves: PackageMoves;
  readonly #history: DnfHistory;
  readonly #original: FilesystemView;
  readonly #rebuilt: FilesystemView;
  #unreadBytes = 0;

  constructor(original: FilesystemView, rebuilt: FilesystemView) {
    this.#original = original;
    this.#rebuilt = rebuilt;
    this.#moves = new PackageMoves(original, rebuilt);
    this.#history = new DnfHistory(original, rebuilt);
    for (const path of this.#moves.unread) this.unread.add(path);
  }

  /** Packages whose versions differ. */
  get packages(): readonly PackageDifference[] {
    return this.#moves.packages;
  }

  /** Databases of packages that could not be read. */
  get failures(): readonly UnreadDatabase[] {
    return this.#moves.failures;
  }

  /** The cause of a difference, `undefined` when there is none that can be checked. */
  explain(pair: PathPair): Explanation | undefined {
    if (!mayHaveCause(pair)) return undefined;
    return (
      explainChange(pair) ??
      this.#explainUnkept(pair) ??
      this.#explainHistory(pair) ??
      this.#moves.explain(pair)
    );
  }

  /** Whether a path that is the same in both images means the same in both: bytecode may be used in one only. */
  isUsedAlike({ path, original }: PathPair): boolean {
    const source = pythonSource(path);
    if (source === undefined || original?.type !== 'file') return true;
    const times = this.#timesOf(source);
    if (times.original === times.rebuilt) return true;
    if (original.content !== undefined) return isUsedAlike(Buffer.from(original.content), times);
    this.#need(path, [original]);
    return false;
  }

  #explainHistory(pair: PathPair): Explanation | undefined {
    const unread = this.#history.unreadFor(pair.path);
    for (const entry of unread) this.#need(entry.path, [entry]);
    return unread.length > 0 ? undefined : this.#history.explain(pair, (key) => this.#moves.hasMoved(key));
  }

  /** What is too large, or too much, to keep of every file: it is read when it differs. */
  #explainUnkept({ path, original, rebuilt }: PathPair): Explanation | undefined {
    if (isBesideRpmDatabase(path)) {
      const missing = [original, rebuilt].filter(
        (entry) => entry !== undefined && entry.content === undefined,
      );
      this.#need(path, missing);
      return undefined;
    }
    const source = pythonSource(path);
    const isCache = APT_CACHES.has(path);
    if ((source === undefined && !isCache) || original?.size !== rebuilt?.size) return undefined;
    const [before, after] = [original?.content, rebuilt?.content];
    if (before === undefined || after === undefined) {
      this.#need(path, [original]);
      return undefined;
    }
    if (source === undefined) {
      return sameAptCache(
        Buffer.from(before.buffer, before.byteOffset, before.byteLength),
        Buffer.from(after.buffer, after.byteOffset, after.byteLength),
      )
        ? { cause: 'times of lists in a cache of apt', benign: true }
        : undefined;
    }
    return sameBytecode(Buffer.from(before), Buffer.from(after), this.#timesOf(source))
      ? { cause: 'time of the source in bytecode of Python', benign: true }
      : undefined;
  }

  #timesOf(source: string): Readonly<Record<'original' | 'rebuilt', number | undefined>> {
    return { original: timeOf(this.#original, source), rebuilt: timeOf(this.#rebuilt, source) };
  }

  #need(path: string, entries: readonly (FilesystemEntry | undefined)[]): void {
    if (entries.length === 0 || this.unread.has(path)) return;
    this.#unreadBytes += entries.reduce((total, entry) => total + (entry?.size ?? 0), 0);
    if (this.#unreadBytes <= MAX_UNREAD_BYTES) this.unread.add(path);
  }
}

/** Paths whose content explanations need; what an image's scan must keep. */
export const KEPT_CONTENT: RegExp = new RegExp(
  `^(?:${[...BENIGN_CHANGES.keys(), ...Object.keys(PACKAGE_LISTS), DPKG_STATUS_BEFORE].map(literal).join('|')}|` +
    `${FONT_CACHE}|${literal(STATUS_DIRECTORY)}/[^/]+|/var/lib/dpkg/info/[^/]+\\.(?:list|md5sums|preinst|postinst|prerm|postrm|config))$`,
);

function literal(path: string): string {
  return path.replaceAll('.', '\\.');
}

/** When a file was changed, through links. */
function timeOf(view: FilesystemView, path: string): number | undefined {
  let entry = view.get(path);
  for (let links = 0; entry?.type === 'symlink' && links < MAX_LINKS; links += 1) {
    entry = view.get(posix.resolve(posix.dirname(entry.path), entry.linkTarget ?? ''));
  }
  return entry?.mtime;
}

function mayHaveCause({ original, rebuilt, aspects }: PathPair): boolean {
  if (original === undefined || rebuilt === undefined) return isHarmless((original ?? rebuilt)!);
  return (
    aspects.every((aspect) => EXPLAINABLE.has(aspect)) && !isPrivileged(original) && !isPrivileged(rebuilt)
  );
}

/** Whether a path that one image lacks may come or go with a package. */
function isHarmless(entry: FilesystemEntry): boolean {
  const { type, mode, uid, gid } = entry;
  if (isPrivileged(entry) || uid !== 0 || gid !== 0) return false;
  return type === 'directory' || type === 'symlink' || (type === 'file' && (mode & EXECUTE_BITS) === 0);
}

function isPrivileged({ type, mode, xattrs }: FilesystemEntry): boolean {
  return (type === 'file' && (mode & SET_ID_BITS) !== 0) || Object.keys(xattrs ?? {}).length > 0;
}

function explainChange({ path, original, rebuilt }: PathPair): Explanation | undefined {
  const rule = benignChange(path);
  const [before, after] = [original?.content, rebuilt?.content];
  if (rule === undefined || before === undefined || after === undefined) return undefined;
  return rule.same(Buffer.from(before), Buffer.from(after)) ? { cause: rule.cause, benign: true } : undefined;
}
