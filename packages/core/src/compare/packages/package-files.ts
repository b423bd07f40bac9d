import { posix } from 'node:path';
import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { ByteBudget } from '../databases/database-error.ts';
import { rpmFiles } from '../databases/rpm-files.ts';
import type { RpmHeader } from '../databases/rpm-header.ts';
import { type InstalledPackage, STATUS_DIRECTORY } from './package-lists.ts';

/** A path a package installed. */
export interface PackagedPath {
  /** `name:architecture` of the package. */
  readonly owner: string;
  /** Hash of a file's content, in hex, as the package manager keeps it. */
  readonly checksum?: { readonly algorithm: 'md5' | 'sha1' | 'sha256'; readonly hex: string };
  /** Text of a symlink, where the package manager keeps it. */
  readonly linkTarget?: string;
}

/** Bytes of the paths of packages of rpm that are looked at, in each image. */
const MAX_PATH_BYTES = 128 * 1024 * 1024;

/** What an account, a login or every program depends on: no package is a reason for a change of these. */
const NEVER_EXPLAINED: ReadonlySet<string> = new Set([
  ...['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow', '/etc/sudoers', '/etc/ld.so.preload'],
  ...['/etc/ld.so.conf', '/etc/nsswitch.conf', '/etc/environment', '/etc/profile', '/etc/crontab'],
]);
const NEVER_EXPLAINED_BELOW =
  /^\/(?:root|etc\/(?:sudoers\.d|pam\.d|ld\.so\.conf\.d|profile\.d|cron\.[a-z]+|ssh))\//;

/** The paths of some packages of an image, by the package manager's own lists and checksums. */
export class PackageFiles {
  readonly #view: FilesystemView;
  readonly #paths: Map<string, PackagedPath> = new Map();

  constructor(view: FilesystemView, packages: readonly InstalledPackage[]) {
    this.#view = view;
    const budget = new ByteBudget(MAX_PATH_BYTES);
    for (const item of packages) {
      const owner = `${item.name}:${item.architecture}`;
      for (const [path, what] of listedPaths(view, item, budget)) {
        this.#paths.set(throughTopLink(view, path), { owner, ...what });
      }
    }
  }

  /**
   * The package an entry is of, when it is as the package left it: a file with the content its checksum says, a link to
   * something that is of these packages too, a directory.
   */
  ownerOf(entry: FilesystemEntry): string | undefined {
    const { path, type, linkTarget = '', checksums } = entry;
    const known = this.#paths.get(path);
    if (known === undefined || NEVER_EXPLAINED.has(path) || NEVER_EXPLAINED_BELOW.test(path))
      return undefined;
    const { owner, checksum } = known;
    if (type === 'directory') return owner;
    if (type === 'symlink') {
      if (known.linkTarget !== undefined && known.linkTarget !== linkTarget) return undefined;
      const target = throughTopLink(this.#view, posix.resolve(posix.dirname(path), linkTarget));
      return this.#paths.has(target) ? owner : undefined;
    }
    if (type !== 'file' || checksum === undefined) return undefined;
    const { algorithm, hex } = checksum;
    const found = algorithm === 'sha256' ? entry.digest?.replace(/^sha256:/, '') : checksums?.[algorithm];
    return found === hex ? owner : undefined;
  }
}

type ListedPath = readonly [path: string, what: Omit<PackagedPath, 'owner'>];

function listedPaths(
  view: FilesystemView,
  item: InstalledPackage,
  budget: ByteBudget,
): readonly ListedPath[] {
  if (item.header !== undefined) {
    try {
      return rpmPaths(item.header, budget);
    } catch (error) {
      // Lists that do not belong together say nothing: the package's files have no cause.
      if (error instanceof CoreError) return [];
      throw error;
    }
  }
  return item.manager === 'apk' ? apkFiles(item.record) : dpkgFiles(view, item);
}

/** What rpm only claims (`%ghost`) has no checksum, and what it left out is not there. */
function rpmPaths(header: RpmHeader, budget: ByteBudget): readonly ListedPath[] {
  return rpmFiles(header, budget).flatMap(({ path, digest, linkTarget, ghost, installed }): ListedPath[] => {
    if (ghost || !installed) return [];
    const { algorithm, hex = '' } = digest ?? {};
    const isKnown = algorithm === 'md5' || algorithm === 'sha1' || algorithm === 'sha256';
    return [
      [
        path,
        { ...(isKnown && { checksum: { algorithm, hex } }), ...(linkTarget !== undefined && { linkTarget }) },
      ],
    ];
  });
}

/** `<package>.list` names everything, `<package>.md5sums` the files but for configuration, which the record has. */
function dpkgFiles(view: FilesystemView, item: InstalledPackage): readonly ListedPath[] {
  const { name, architecture } = item;
  const info = '/var/lib/dpkg/info';
  const read = (path: string): readonly string[] => {
    const content = view.get(path)?.content;
    return content === undefined ? [] : Buffer.from(content).toString('utf8').split('\n');
  };
  const either = (suffix: string): readonly string[] => {
    const own = read(`${info}/${name}:${architecture}.${suffix}`);
    return own.length > 0 ? own : read(`${info}/${name}.${suffix}`);
  };
  const sums = [...either('md5sums'), ...read(`${STATUS_DIRECTORY}/${name}.md5sums`)];
  return [
    ...either('list').map((path): ListedPath => [path, {}]),
    ...sums.flatMap((line) => summed(/^([0-9a-f]{32}) [ *](.+)$/.exec(line), 1, 2)),
    ...item.record
      .split('\n')
      .flatMap((line) => summed(/^ (\/\S+) ([0-9a-f]{32})(?: obsolete)?$/.exec(line), 2, 1)),
  ];
}

function summed(match: RegExpExecArray | null, sum: number, path: number): readonly ListedPath[] {
  if (match === null) return [];
  const listed = match[path] ?? '';
  const checksum = { algorithm: 'md5', hex: match[sum] ?? '' } as const;
  return [[listed.startsWith('/') ? listed : `/${listed}`, { checksum }]];
}

/** `F:` names a directory, `R:` a file in it, `Z:Q1` the SHA-1 of that file in base64. */
function apkFiles(record: string): readonly ListedPath[] {
  const paths: ListedPath[] = [];
  let directory = '';
  for (const line of record.split('\n')) {
    const value = line.slice(2);
    if (line.startsWith('F:')) {
      directory = value;
      paths.push([`/${value}`, {}]);
    } else if (line.startsWith('R:')) paths.push([`/${directory}/${value}`.replace('//', '/'), {}]);
    else if (line.startsWith('Z:Q1')) {
      const [path = ''] = paths.pop() ?? [];
      const hex = Buffer.from(line.slice(4), 'base64').toString('hex');
      paths.push([path, { checksum: { algorithm: 'sha1', hex } }]);
    }
  }
  return paths;
}

/** Where a listed path is when its first directory is a link, as `/lib` is to `usr/lib`. */
function throughTopLink(view: FilesystemView, path: string): string {
  const end = path.indexOf('/', 1);
  if (end === -1) return path;
  const top = view.get(path.slice(0, end));
  return top?.type === 'symlink' ? `/${top.linkTarget!.replace(/^\//, '')}${path.slice(end)}` : path;
}
