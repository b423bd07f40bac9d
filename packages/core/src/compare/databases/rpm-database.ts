import { readBerkeley } from './berkeley.ts';
import { isBerkeley } from './berkeley-database.ts';
import { checkDatabaseSize, invalidDatabase } from './database-error.ts';
import { isNdb, readNdb } from './ndb.ts';
import { parseRpmHeader, RPM_TAG, type RpmHeader, rpmNumbers, rpmText } from './rpm-header.ts';
import { SqliteDatabase } from './sqlite.ts';

/** A package in a database of rpm. */
export interface RpmPackage {
  readonly name: string;
  /** `epoch:version-release`, the epoch only where there is one. */
  readonly version: string;
  /** `(none)` for a key, as rpm says it. */
  readonly architecture: string;
  /** File name of the source package it was built from. */
  readonly sourceRpm?: string;
  /** Its number in the database. */
  readonly number: number;
  readonly header: RpmHeader;
}

/**
 * Reads the packages of a database of rpm in whichever of its formats it is: SQLite, ndb, or a hash of Berkeley DB.
 *
 * @param log - the write-ahead log beside an SQLite database
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, also when a single package cannot be read; `PACKAGE_DATABASE_TOO_LARGE`
 */
export function readRpmDatabase(bytes: Buffer, log?: Buffer): RpmPackage[] {
  return [...headers(bytes, log)].map(([number, blob]) => describe(number, parseRpmHeader(blob)));
}

function* headers(bytes: Buffer, log: Buffer | undefined): Generator<[number: number, blob: Buffer]> {
  checkDatabaseSize(bytes.length);
  if (isNdb(bytes)) for (const { key, value } of readNdb(bytes)) yield [key, value];
  else if (isBerkeley(bytes)) for (const { key, value } of readBerkeley(bytes)) yield [key, value];
  else {
    const database = new SqliteDatabase(bytes, log);
    for (const { id, values } of database.rows('Packages')) {
      const blob = values[1];
      if (!Buffer.isBuffer(blob)) throw invalidDatabase(`no header in row ${id}`);
      yield [id, blob];
    }
  }
}

function describe(number: number, header: RpmHeader): RpmPackage {
  const [name, version, release] = [RPM_TAG.name, RPM_TAG.version, RPM_TAG.release].map((tag) =>
    rpmText(header, tag),
  );
  if (!name || version === undefined || release === undefined) {
    throw invalidDatabase(`package ${number} has no name or version`);
  }
  const [epoch] = rpmNumbers(header, RPM_TAG.epoch);
  const sourceRpm = rpmText(header, RPM_TAG.sourceRpm);
  return {
    name,
    version: `${epoch === undefined ? '' : `${epoch}:`}${version}-${release}`,
    architecture: rpmText(header, RPM_TAG.architecture) ?? '(none)',
    ...(sourceRpm !== undefined && { sourceRpm }),
    number,
    header,
  };
}
