import { join } from 'node:path';
import { TrustError } from '../errors.ts';
import { checkCollectionName, checkRoleName } from '../metadata/names.ts';
import { readIfPresent } from '../storage/durable-file.ts';

const FORMAT = 'imagevet trust archive 1';

/** What an archive holds; `archive.json` in its directory. */
export interface TrustArchive {
  readonly format: typeof FORMAT;
  readonly collection: string;
  /** Where it was read. */
  readonly server: string;
  /** RFC 3339. */
  readonly archivedAt: string;
  readonly files: readonly ArchivedFile[];
}

/** One version of one role. */
export interface ArchivedFile {
  readonly role: string;
  readonly version: number;
  readonly sha256: string;
  /** Whether it was the newest when the archive was made. */
  readonly current: boolean;
  /** Below the archive's directory. */
  readonly path: string;
}

/** Makes the list of an archive. */
export function describeArchive(archive: Omit<TrustArchive, 'format'>): TrustArchive {
  return { format: FORMAT, ...archive };
}

/** Where an archive has its list. */
export function listPath(directory: string): string {
  return join(directory, 'archive.json');
}

/** Where an archive has a file. The path is made from checked names: an archive from elsewhere names no other file. */
export function filePath(role: string, version: number): string {
  return join('metadata', checkRoleName(role), `${version}.json`);
}

/**
 * Reads the list of an archive; `undefined` when there is none.
 *
 * @throws {@link TrustError} `MALFORMED` when it is damaged
 */
export async function readArchive(directory: string): Promise<TrustArchive | undefined> {
  const text = await readIfPresent(listPath(directory));
  return text === undefined ? undefined : parseArchive(text);
}

/**
 * Parses the list of an archive.
 *
 * @throws {@link TrustError} `MALFORMED`
 */
export function parseArchive(text: string): TrustArchive {
  try {
    const value = JSON.parse(text) as TrustArchive;
    const whole =
      value.format === FORMAT &&
      typeof value.server === 'string' &&
      !Number.isNaN(Date.parse(value.archivedAt)) &&
      value.files.every(isArchivedFile);
    if (whole) {
      checkCollectionName(value.collection);
      return value;
    }
  } catch {
    // Told below.
  }
  throw new TrustError('MALFORMED', 'open trust archive: archive.json is damaged');
}

function isArchivedFile({ role, version, sha256, current }: ArchivedFile): boolean {
  checkRoleName(role);
  const numbered = Number.isSafeInteger(version) && version > 0;
  return numbered && /^[0-9a-f]{64}$/.test(sha256) && typeof current === 'boolean';
}
