import { posix } from 'node:path';
import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import { type InstalledPackage, STATUS_DIRECTORY } from './package-lists.ts';

/** A path a package installed. */
export interface PackagedPath {
  /** `name:architecture` of the package. */
  readonly owner: string;
  /** Hash of a file's content, in hex, as the package manager keeps it. */
  readonly checksum?: { readonly algorithm: 'md5' | 'sha1'; readonly hex: string };
}

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
    for (const item of packages) {
      const owner = `${item.name}:${item.architecture}`;
      const paths = item.manager === 'apk' ? apkFiles(item.record) : dpkgFiles(view, item);
      for (const [path, checksum] of paths) {
        this.#paths.set(throughTopLink(view, path), {
          owner,
          ...(checksum === undefined ? {} : { checksum }),
        });
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
      const target = throughTopLink(this.#view, posix.resolve(posix.dirname(path), linkTarget));
      return this.#paths.has(target) ? owner : undefined;
    }
    if (type !== 'file' || checksum === undefined || checksums === undefined) return undefined;
    return checksums[checksum.algorithm] === checksum.hex ? owner : undefined;
  }
}

type ListedPath = readonly [path: string, checksum: PackagedPath['checksum'] | undefined];

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
    ...either('list').map((path): ListedPath => [path, undefined]),
    ...sums.flatMap((line) => summed(/^([0-9a-f]{32}) [ *](.+)$/.exec(line), 1, 2)),
    ...item.record
      .split('\n')
      .flatMap((line) => summed(/^ (\/\S+) ([0-9a-f]{32})(?: obsolete)?$/.exec(line), 2, 1)),
  ];
}

function summed(match: RegExpExecArray | null, sum: number, path: number): readonly ListedPath[] {
  if (match === null) return [];
  const listed = match[path] ?? '';
  return [[listed.startsWith('/') ? listed : `/${listed}`, { algorithm: 'md5', hex: match[sum] ?? '' }]];
}

/** `F:` names a directory, `R:` a file in it, `Z:Q1` the SHA-1 of that file in base64. */
function apkFiles(record: string): readonly ListedPath[] {
  const paths: ListedPath[] = [];
  let directory = '';
  for (const line of record.split('\n')) {
    const value = line.slice(2);
    if (line.startsWith('F:')) {
      directory = value;
      paths.push([`/${value}`, undefined]);
    } else if (line.startsWith('R:')) paths.push([`/${directory}/${value}`.replace('//', '/'), undefined]);
    else if (line.startsWith('Z:Q1')) {
      const [path = ''] = paths.pop() ?? [];
      paths.push([path, { algorithm: 'sha1', hex: Buffer.from(line.slice(4), 'base64').toString('hex') }]);
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
