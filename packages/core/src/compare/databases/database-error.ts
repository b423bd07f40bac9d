import { CoreError } from '../../errors.ts';

/** Largest database of packages that is read, its log of changes included: a package has about 30 KiB in it. */
export const MAX_DATABASE_BYTES: number = 64 * 1024 * 1024;

/** The error of a database that is not what its format says, or is damaged. */
export function invalidDatabase(reason: string): CoreError {
  return new CoreError('PACKAGE_DATABASE_INVALID', `database of packages: ${reason}`, {
    hint: 'The package manager of the image cannot read it either, or reads something else than it lists.',
  });
}

/** @throws {@link CoreError} `PACKAGE_DATABASE_TOO_LARGE` when a database has more bytes than are read. */
export function checkDatabaseSize(bytes: number): void {
  if (bytes <= MAX_DATABASE_BYTES) return;
  throw new CoreError(
    'PACKAGE_DATABASE_TOO_LARGE',
    `database of packages has ${bytes} bytes, expected at most ${MAX_DATABASE_BYTES}`,
    { details: { bytes, limit: MAX_DATABASE_BYTES } },
  );
}

/**
 * Counts what is taken out of a database. Each byte belongs to one record, so all records together are never more than the file;
 * offsets that say otherwise would have a small file fill the memory.
 */
export class ByteBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** @throws {@link CoreError} `PACKAGE_DATABASE_INVALID` when more is taken than there is. */
  take(bytes: number): number {
    this.#left -= bytes;
    if (bytes < 0 || this.#left < 0) throw invalidDatabase('its records are larger than the file');
    return bytes;
  }
}
