import type { FilesystemView } from '@imagevet/registry';
import { BENIGN_CHANGES } from './benign/table.ts';
import type { PathPair } from './compare-files.ts';
import type { Explanation } from './explain.ts';
import {
  DPKG_STATUS_BEFORE,
  diffPackages,
  type InstalledPackage,
  PACKAGE_LISTS,
  packageRecords,
  readPackages,
} from './package-lists.ts';
import type { PackageDifference } from './types.ts';

/** Explains differences by packages that have another version in the rebuilt image. */
export class PackageMoves {
  readonly packages: readonly PackageDifference[];
  readonly #original: ReadonlyMap<string, string>;
  readonly #rebuilt: ReadonlyMap<string, string>;
  /** By `name` and `name:architecture`. */
  readonly #moved: ReadonlyMap<string, PackageDifference>;

  constructor(original: FilesystemView, rebuilt: FilesystemView) {
    const [before, after] = [readPackages(original), readPackages(rebuilt)];
    this.packages = diffPackages(before, after);
    this.#moved = new Map(
      this.packages.flatMap((item) => [
        [item.name, item] as const,
        [`${item.name}:${item.architecture}`, item] as const,
      ]),
    );
    this.#original = ownedPaths(original, before, this.#moved);
    this.#rebuilt = ownedPaths(rebuilt, after, this.#moved);
  }

  explain(pair: PathPair): Explanation | undefined {
    if (this.packages.length === 0) return undefined;
    const cause = this.#ofFile(pair) ?? this.#ofRecord(pair) ?? this.#ofList(pair) ?? this.#ofLog(pair);
    return cause === undefined ? undefined : { cause, benign: false };
  }

  /** A file the package installed, by its own list in each image that has the file. */
  #ofFile({ path, original, rebuilt }: PathPair): string | undefined {
    const [before, after] = [this.#original.get(path), this.#rebuilt.get(path)];
    if ((original !== undefined && before === undefined) || (rebuilt !== undefined && after === undefined)) {
      return undefined;
    }
    if (original !== undefined && rebuilt !== undefined && before !== after) return undefined;
    return describe(this.#moved.get((before ?? after)!)!);
  }

  /** What dpkg keeps about the package. */
  #ofRecord({ path }: PathPair): string | undefined {
    const name = /^\/var\/lib\/dpkg\/(?:info\/([^/]+)\.[a-z0-9]+|status\.d\/([^/.]+)(?:\.md5sums)?)$/.exec(
      path,
    );
    const moved = this.#moved.get(name?.[1] ?? name?.[2] ?? '');
    return moved && describe(moved);
  }

  /** A list of packages in which nothing differs but moved ones. */
  #ofList({ path, original, rebuilt }: PathPair): string | undefined {
    const manager = path === DPKG_STATUS_BEFORE ? 'dpkg' : PACKAGE_LISTS[path];
    if (manager === undefined || !original?.content || !rebuilt?.content) return undefined;
    const [before, after] = [packageRecords(original.content), packageRecords(rebuilt.content)];
    if (before === undefined || after === undefined) return undefined;
    const differing = [...new Set([...before.keys(), ...after.keys()])].filter(
      (name) => before.get(name) !== after.get(name),
    );
    if (!differing.every((name) => this.#moved.has(name))) return undefined;
    return `records of packages that moved: ${differing.slice(0, 5).join(', ')}`;
  }

  /** A log in which nothing differs but times and the versions of moved packages. */
  #ofLog({ path, original, rebuilt }: PathPair): string | undefined {
    const log = path.startsWith('/var/log/') ? BENIGN_CHANGES.get(path) : undefined;
    if (log === undefined || !original?.content || !rebuilt?.content) return undefined;
    const before = maskVersions(original.content, this.packages, 'original');
    const after = maskVersions(rebuilt.content, this.packages, 'rebuilt');
    return log.same(before, after) ? 'log of the versions of packages that moved' : undefined;
  }
}

/** A log's bytes with the versions of moved packages replaced by the package. */
function maskVersions(
  content: Uint8Array,
  packages: readonly PackageDifference[],
  side: 'original' | 'rebuilt',
): Buffer {
  let text = Buffer.from(content).toString('latin1');
  for (const item of packages) {
    // In file names an epoch's colon is written %3a.
    for (const version of new Set([item[side], item[side]?.replaceAll(':', '%3a')])) {
      if (version !== undefined) text = text.replaceAll(version, `<version of ${item.name}>`);
    }
  }
  return Buffer.from(text, 'latin1');
}

function describe({ name, original, rebuilt }: PackageDifference): string {
  if (original === undefined) return `package ${name} ${rebuilt} was added`;
  if (rebuilt === undefined) return `package ${name} ${original} was removed`;
  return `package ${name} moved from ${original} to ${rebuilt}`;
}

/** Paths of the moved packages, each with its package's key. */
function ownedPaths(
  view: FilesystemView,
  packages: readonly InstalledPackage[],
  moved: ReadonlyMap<string, PackageDifference>,
): Map<string, string> {
  const owned = new Map<string, string>();
  for (const item of packages) {
    const key = `${item.name}:${item.architecture}`;
    if (!moved.has(key)) continue;
    const paths = item.manager === 'apk' ? apkPaths(item.record) : dpkgPaths(view, item);
    for (const path of paths) owned.set(throughTopLink(view, path), key);
  }
  return owned;
}

function dpkgPaths(view: FilesystemView, { name, architecture }: InstalledPackage): string[] {
  const info = '/var/lib/dpkg/info';
  const list = view.get(`${info}/${name}:${architecture}.list`) ?? view.get(`${info}/${name}.list`);
  return list?.content === undefined ? [] : Buffer.from(list.content).toString('utf8').split('\n');
}

/** `F:` names a directory, `R:` a file in it. */
function apkPaths(record: string): string[] {
  let directory = '';
  return record.split('\n').flatMap((line) => {
    if (line.startsWith('F:')) directory = line.slice(2);
    else if (!line.startsWith('R:')) return [];
    return [line.startsWith('F:') ? `/${directory}` : `/${directory}/${line.slice(2)}`.replace('//', '/')];
  });
}

/** Where a listed path is when its first directory is a link, as `/lib` is to `usr/lib`. */
function throughTopLink(view: FilesystemView, path: string): string {
  const end = path.indexOf('/', 1);
  if (end === -1) return path;
  const top = view.get(path.slice(0, end));
  return top?.type === 'symlink' ? `/${top.linkTarget!.replace(/^\//, '')}${path.slice(end)}` : path;
}
