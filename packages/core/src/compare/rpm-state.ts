import { posix } from 'node:path';
import type { PathPair } from './compare-files.ts';
import type { Explanation } from './explain.ts';
import { RPM_DATABASES, RPM_DIRECTORIES, type RpmDatabases } from './rpm-databases.ts';

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
  return beside(path) !== undefined;
}

/** Explains a difference of a database of rpm, or of what lies beside it, by the packages whose records differ in it. */
export function explainRpmState(
  { path, original, rebuilt }: PathPair,
  databases: RpmDatabases,
  hasMoved: (key: string) => boolean,
): Explanation | undefined {
  const holds = beside(path);
  if (holds !== undefined) {
    const both = [original, rebuilt].filter((entry) => entry !== undefined);
    const isState = both.every(
      ({ type, mode, size, content }) =>
        type === 'file' &&
        (mode & EXECUTE_BITS) === 0 &&
        content?.length === size &&
        holds(Buffer.from(content)),
    );
    if (!isState) return undefined;
  } else if (!RPM_DATABASES.includes(path)) return undefined;
  const changed = holds === undefined ? databases.changedIn(path) : changedBeside(path, databases);
  if (changed === undefined) return undefined;
  if (changed.length === 0) return { cause: 'times of installation in the database of rpm', benign: true };
  if (!changed.every((key) => !key.startsWith(KEY) && hasMoved(key))) return undefined;
  return { cause: `records of packages that moved: ${changed.slice(0, 5).join(', ')}`, benign: false };
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

function isOneOf(content: Buffer, magics: readonly number[]): boolean {
  return content.length >= 4 && magics.includes(content.readUInt32BE(0));
}

function isProgram(content: Buffer): boolean {
  const start = content.toString('latin1', 0, 4);
  return start === '\x7fELF' || start.startsWith('#!');
}
