import { BerkeleyDatabase, isBerkeley } from './berkeley-database.ts';
import { invalidDatabase } from './database-error.ts';

/** A header of a package by its number in the database. */
export interface DatabaseEntry {
  readonly key: number;
  readonly value: Buffer;
}

/**
 * Reads the headers of a hash of Berkeley DB, `Packages`, bucket by bucket as rpm does. Key 0 is the number of the next package and no
 * header.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE`
 */
export function* readBerkeley(bytes: Buffer): Generator<DatabaseEntry> {
  if (!isBerkeley(bytes)) throw invalidDatabase('no hash of Berkeley DB');
  const hash = new BerkeleyDatabase(bytes);
  for (const [key, value] of hash.records()) {
    if (key.length !== 4) throw invalidDatabase(`a key of ${key.length} bytes`);
    const number = hash.uint32(key, 0);
    if (number !== 0) yield { key: number, value };
  }
}
