import type { FilesystemView } from '@imagevet/registry';
import { BENIGN_CHANGES } from '../benign/table.ts';
import type { Explanation, PathPair } from '../path-pair.ts';
import type { PackageDifference, UnreadDatabase } from '../types.ts';
import { PackageFiles } from './package-files.ts';
import {
  DPKG_STATUS_BEFORE,
  diffPackages,
  type InstalledPackage,
  PACKAGE_LISTS,
  packageRecords,
  readPackages,
} from './package-lists.ts';
import { RpmDatabases } from './rpm-databases.ts';
import { explainRpmState } from './rpm-state.ts';

const MAINTAINER_SCRIPT = /\.(?:preinst|postinst|prerm|postrm|config)$/;
/** Longest log or script whose versions are looked at. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;

/** Explains differences by packages that have another version in the rebuilt image. */
export class PackageMoves {
  readonly packages: readonly PackageDifference[];
  readonly #databases: RpmDatabases;
  readonly #original: PackageFiles;
  readonly #rebuilt: PackageFiles;
  /** By `name` and `name:architecture`. */
  readonly #moved: ReadonlyMap<string, PackageDifference>;

  constructor(original: FilesystemView, rebuilt: FilesystemView) {
    this.#databases = new RpmDatabases(original, rebuilt);
    const before = readPackages(original, this.#databases.original);
    const after = readPackages(rebuilt, this.#databases.rebuilt);
    this.packages = diffPackages(before, after);
    this.#moved = new Map(
      this.packages.flatMap((item) => [
        [item.name, item] as const,
        [`${item.name}:${item.architecture}`, item] as const,
      ]),
    );
    const moved = ({ name, architecture }: InstalledPackage) => this.#moved.has(`${name}:${architecture}`);
    this.#original = new PackageFiles(original, before.filter(moved));
    this.#rebuilt = new PackageFiles(rebuilt, after.filter(moved));
  }

  /** Databases that could not be read. */
  get failures(): readonly UnreadDatabase[] {
    return this.#databases.failures;
  }

  /** Databases whose content is needed and was not kept. */
  get unread(): ReadonlySet<string> {
    return this.#databases.unread;
  }

  /** Whether a package of rpm has other versions, by `name:architecture`. */
  hasMoved(key: string): boolean {
    return this.#moved.get(key)?.manager === 'rpm';
  }

  explain(pair: PathPair): Explanation | undefined {
    const state = explainRpmState(pair, this.#databases, (key) => this.hasMoved(key));
    if (state !== undefined) return state;
    if (this.packages.length === 0) return undefined;
    const cause = this.#ofFile(pair) ?? this.#ofRecord(pair) ?? this.#ofList(pair) ?? this.#ofLog(pair);
    return cause === undefined ? undefined : { cause, benign: false };
  }

  /** A path the package installed and left as it is, in each image that has it. */
  #ofFile({ original, rebuilt }: PathPair): string | undefined {
    const before = original && this.#original.ownerOf(original);
    const after = rebuilt && this.#rebuilt.ownerOf(rebuilt);
    if ((original !== undefined && before === undefined) || (rebuilt !== undefined && after === undefined)) {
      return undefined;
    }
    if (original !== undefined && rebuilt !== undefined && before !== after) return undefined;
    return describe(this.#moved.get((before ?? after)!)!);
  }

  /** What dpkg keeps about the package; its scripts only when nothing but versions of moved packages differs in them. */
  #ofRecord({ path, original, rebuilt }: PathPair): string | undefined {
    const name = /^\/var\/lib\/dpkg\/(?:info\/([^/]+)\.[a-z0-9]+|status\.d\/([^/]+?)(?:\.md5sums)?)$/.exec(
      path,
    );
    const moved = this.#moved.get(name?.[1] ?? name?.[2] ?? '');
    if (moved === undefined) return undefined;
    if (!MAINTAINER_SCRIPT.test(path)) return describe(moved);
    const [before, after] = [original?.content, rebuilt?.content];
    // dpkg keeps no checksum of what it runs as root.
    if (before === undefined || after === undefined) return undefined;
    if (Math.max(before.length, after.length) > MAX_LOG_BYTES) return undefined;
    // It stands for a version below.
    if ([before, after].some((script) => script.includes(0))) return undefined;
    const same =
      maskScript(before, this.packages, 'original') === maskScript(after, this.packages, 'rebuilt');
    return same ? describe(moved) : undefined;
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
    if (Math.max(original.content.length, rebuilt.content.length) > MAX_LOG_BYTES) return undefined;
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
  for (const [index, item] of packages.entries()) {
    for (const version of writtenVersions(item, side)) {
      text = text.replaceAll(version, `<version ${index}>`);
    }
  }
  return Buffer.from(text, 'latin1');
}

/** A version that nothing else in a script is taken for: `1.2-3`, and not `0` or a command. */
const VERSION = /^\d[\w.+~:-]*[.+~-][\w.+~:-]*$/;

/** A script with the versions of moved packages, where they stand alone, replaced by the package. */
function maskScript(
  content: Uint8Array,
  packages: readonly PackageDifference[],
  side: 'original' | 'rebuilt',
): string {
  const known = new Map(
    packages.flatMap((item, index) => [...writtenVersions(item, side)].map((version) => [version, index])),
  );
  const text = Buffer.from(content).toString('latin1');
  return text.replaceAll(/[\w.+~:%-]+/g, (word) =>
    VERSION.test(word) && known.has(word) ? `\0${known.get(word)}` : word,
  );
}

/** A version as logs have it: in file names of dpkg an epoch's colon is %3a, in those of rpm there is no epoch. */
function writtenVersions(
  { manager, ...item }: PackageDifference,
  side: 'original' | 'rebuilt',
): ReadonlySet<string> {
  const versions = item[side] === undefined ? [] : item[side].split(', ');
  const other = (version: string) =>
    manager === 'rpm' ? version.replace(/^\d+:/, '') : version.replaceAll(':', '%3a');
  return new Set(versions.flatMap((version) => [version, other(version)]));
}

function describe({ name, original, rebuilt }: PackageDifference): string {
  if (original === undefined) return `package ${name} ${rebuilt} was added`;
  if (rebuilt === undefined) return `package ${name} ${original} was removed`;
  return `package ${name} moved from ${original} to ${rebuilt}`;
}
