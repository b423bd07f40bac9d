import { posix } from 'node:path';
import type { FilesystemEntry } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { isRpmIndex, tellRpmIndex } from '../databases/rpm-index.ts';
import type { Explanation, PathPair } from '../path-pair.ts';
import { RPM_DATABASES, RPM_DIRECTORIES, type RpmDatabases, type RpmPackages } from './rpm-databases.ts';

/** A key by which rpm trusts packages: it comes with no version that could move. */
const KEY = 'gpg-pubkey:';
const EXECUTE_BITS = 0o111;

/** What lies beside a database and is made from it; each with what its content must be. */
const BESIDE: readonly (readonly [name: RegExp, holds: (content: Buffer) => boolean])[] = [
  [/^rpmdb\.sqlite-wal$/, (content) => content.length === 0 || isOneOf(content, [0x377f0682, 0x377f0683])],
  // Rebuilt by whoever opens the database next.
  [
    /^rpmdb\.sqlite-shm$/,
    (content) => content.length % 32_768 === 0 && isOneOf(content, [0x18e22d00, 0x002de218, 0]),
  ],
  // Memory that the programs using a Berkeley DB shared, of no format.
  [/^__db\.\d{3}$/, (content) => !isProgram(content)],
];

/** Whether a path lies beside a database of rpm and is made from it. */
export function isBesideRpmDatabase(path: string): boolean {
  return beside(path) !== undefined || isIndex(path);
}

/** Explains a difference of a database of rpm, or of what lies beside it, by the packages whose records differ in it. */
export function explainRpmState(
  pair: PathPair,
  databases: RpmDatabases,
  hasMoved: (key: string) => boolean,
): Explanation | undefined {
  const { path, original, rebuilt } = pair;
  const isDatabase = RPM_DATABASES.includes(path);
  if (!isDatabase && !isBesideRpmDatabase(path)) return undefined;
  const changed = isDatabase ? databases.changedIn(path) : changedBeside(path, databases);
  if (changed === undefined || !changed.every((key) => !key.startsWith(KEY) && hasMoved(key)))
    return undefined;
  if (!isDatabase) {
    const both = [original, rebuilt].filter((entry) => entry !== undefined);
    if (!both.every(isState) || (isIndex(path) && !findsTheSame(pair, databases, changed))) return undefined;
  }
  return changed.length === 0
    ? { cause: 'times of installation in the database of rpm', benign: true }
    : { cause: `records of packages that moved: ${changed.slice(0, 5).join(', ')}`, benign: false };
}

/** Whether a file may be what its name says: no program, whole, and of the form it has. */
function isState({ path, type, mode, size, content }: FilesystemEntry): boolean {
  if (type !== 'file' || (mode & EXECUTE_BITS) !== 0 || content?.length !== size) return false;
  return beside(path)?.(Buffer.from(content)) ?? true;
}

/** Whether two indexes find the same, but for what they find in packages whose records differ. */
function findsTheSame(
  { path, original, rebuilt }: PathPair,
  databases: RpmDatabases,
  changed: readonly string[],
): boolean {
  const database = RPM_DATABASES.filter((name) => posix.dirname(name) === posix.dirname(path));
  const left = new Set(changed);
  const tell = (content: Uint8Array | undefined, packages: RpmPackages): string | undefined => {
    const known = database.flatMap((name) => packages.get(name) ?? []);
    if (content === undefined || known.length === 0) return undefined;
    const names = known.map(({ number, name, architecture, version }) => {
      const key = `${name}:${architecture}`;
      return [number, left.has(key) ? undefined : `${key} ${version}`] as const;
    });
    return tellRpmIndex(posix.basename(path), Buffer.from(content), new Map(names));
  };
  try {
    const before = tell(original?.content, databases.original);
    return before !== undefined && before === tell(rebuilt?.content, databases.rebuilt);
  } catch (error) {
    if (error instanceof CoreError) return false;
    throw error;
  }
}

function changedBeside(path: string, databases: RpmDatabases): readonly string[] | undefined {
  const directory = posix.dirname(path);
  const changes = RPM_DATABASES.filter((database) => posix.dirname(database) === directory).map((database) =>
    databases.changedIn(database),
  );
  return changes.includes(undefined) ? undefined : changes.flatMap((change) => change ?? []);
}

function beside(path: string): ((content: Buffer) => boolean) | undefined {
  if (!RPM_DIRECTORIES.includes(posix.dirname(path))) return undefined;
  return BESIDE.find(([name]) => name.test(posix.basename(path)))?.[1];
}

function isIndex(path: string): boolean {
  return RPM_DIRECTORIES.includes(posix.dirname(path)) && isRpmIndex(posix.basename(path));
}

function isOneOf(content: Buffer, magics: readonly number[]): boolean {
  return content.length >= 4 && magics.includes(content.readUInt32BE(0));
}

function isProgram(content: Buffer): boolean {
  const start = content.toString('latin1', 0, 4);
  return start === '\x7fELF' || start.startsWith('#!');
}
