import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { checkDatabaseSize } from '../databases/database-error.ts';
import { type RpmPackage, readRpmDatabase } from '../databases/rpm-database.ts';
import { rpmFingerprints } from '../databases/rpm-fingerprint.ts';
import type { Side } from '../side.ts';
import type { UnreadDatabase } from '../types.ts';

/** Where rpm keeps its database, by the distribution and its age. */
export const RPM_DIRECTORIES: readonly string[] = ['/var/lib/rpm', '/usr/lib/sysimage/rpm', '/usr/share/rpm'];
/** Its names: SQLite, ndb, Berkeley DB. */
const NAMES = ['rpmdb.sqlite', 'Packages.db', 'Packages'] as const;
export const RPM_DATABASES: readonly string[] = RPM_DIRECTORIES.flatMap((directory) =>
  NAMES.map((name) => `${directory}/${name}`),
);

/** The databases of rpm of an image that differ from the other image's: packages by path. */
export type RpmPackages = ReadonlyMap<string, readonly RpmPackage[]>;

/** The databases of rpm of two images, read only when they differ. */
export class RpmDatabases {
  readonly original: RpmPackages;
  readonly rebuilt: RpmPackages;
  /** Paths whose content is needed and was not kept. */
  readonly unread: ReadonlySet<string>;
  readonly failures: readonly UnreadDatabase[];
  readonly #isSame: (path: string) => boolean;

  constructor(original: FilesystemView, rebuilt: FilesystemView) {
    const none: RpmPackages = new Map();
    const unread = new Set<string>();
    const failures: UnreadDatabase[] = [];
    const read = (side: Side, view: FilesystemView): RpmPackages => {
      const packages = new Map<string, readonly RpmPackage[]>();
      let bytes = 0;
      for (const path of RPM_DATABASES) {
        const entry = view.get(path);
        if (entry?.type !== 'file') continue;
        const log = view.get(logOf(path));
        const files = [entry, ...(log?.type === 'file' && log.size > 0 ? [log] : [])];
        bytes += files.reduce((total, { size }) => total + size, 0);
        try {
          checkDatabaseSize(bytes);
          const found = readFiles(files, unread);
          if (found !== undefined) packages.set(path, found);
        } catch (error) {
          if (!(error instanceof CoreError)) throw error;
          failures.push({ side, path, code: error.code, message: error.message });
        }
      }
      return packages;
    };
    this.#isSame = (path) => [path, logOf(path)].every((name) => sameFile(original, rebuilt, name));
    const same = RPM_DATABASES.every(this.#isSame);
    const [one, other] = same ? [none, none] : [read('original', original), read('rebuilt', rebuilt)];
    // With one list alone every package would seem added or removed.
    const isWhole = failures.length === 0 && unread.size === 0;
    this.original = isWhole ? one : none;
    this.rebuilt = isWhole ? other : none;
    this.unread = unread;
    this.failures = failures;
  }

  /** The packages, as `name:architecture`, whose records differ between two databases; `undefined` when that is not known. */
  changedIn(path: string): readonly string[] | undefined {
    if (this.#isSame(path)) return [];
    const [one, other] = [this.original.get(path), this.rebuilt.get(path)];
    if (one === undefined || other === undefined) return undefined;
    const [before, after] = [rpmFingerprints(one), rpmFingerprints(other)];
    return [...new Set([...before.keys(), ...after.keys()])]
      .filter((key) => before.get(key) !== after.get(key))
      .sort();
  }
}

/** The write-ahead log of a database that is SQLite. */
export function logOf(path: string): string {
  return `${path}-wal`;
}

/** @param files - the database, and its log if it has one */
function readFiles(files: readonly FilesystemEntry[], unread: Set<string>): RpmPackage[] | undefined {
  const missing = files.filter(({ content, size }) => content === undefined || content.length < size);
  for (const { path } of missing) unread.add(path);
  if (missing.length > 0) return undefined;
  const [bytes, changes] = files.map(({ content }) => {
    const { buffer, byteOffset, byteLength } = content!;
    return Buffer.from(buffer, byteOffset, byteLength);
  });
  return readRpmDatabase(bytes!, changes);
}

function sameFile(original: FilesystemView, rebuilt: FilesystemView, path: string): boolean {
  const [one, other] = [original.get(path), rebuilt.get(path)];
  return one?.type === other?.type && one?.digest === other?.digest;
}
