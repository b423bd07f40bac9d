import { BerkeleyDatabase } from './berkeley-database.ts';
import { invalidDatabase } from './database-error.ts';
import type { IndexRecord } from './index-record.ts';
import { readNdbIndex } from './ndb-index.ts';
import { RPM_TAG } from './rpm-header.ts';

/** Names of a database's packages by number, `undefined` for one that is not to count. */
export type PackageNames = ReadonlyMap<number, string | undefined>;

/** The index of times: its keys are seconds. */
const TIMES = 'Installtid';

/** Whether a file beside a database is named as an index is: one of Berkeley DB for each tag, or all of ndb together. */
export function isRpmIndex(name: string): boolean {
  return name === 'Index.db' || (name !== 'Packages' && /^[A-Z][a-z0-9]{3,24}$/.test(name));
}

/**
 * What an index finds, with packages by name in place of their numbers, and without the times by which it finds them; the same text for
 * indexes of the same packages in whatever order.
 *
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID` for a file that is no index, and for one of packages that are not there
 */
export function tellRpmIndex(name: string, bytes: Buffer, packages: PackageNames): string {
  const isNdb = name === 'Index.db';
  const found = new Map<string, string[]>();
  for (const { key, number, position } of isNdb ? readNdbIndex(bytes) : readBerkeleyIndex(bytes)) {
    if (!packages.has(number)) throw invalidDatabase(`an index of package ${number}, which is not there`);
    const owner = packages.get(number);
    if (owner === undefined) continue;
    const list = found.get(key);
    if (list === undefined) found.set(key, [`${owner} ${position}`]);
    else list.push(`${owner} ${position}`);
  }
  const isTime = (key: string) => (isNdb ? key.startsWith(`${RPM_TAG.installTransaction} `) : name === TIMES);
  return JSON.stringify(
    [...found].map(([key, list]) => [isTime(key) ? '' : key, ...list.sort()].join('\n')).sort(),
  );
}

/** @throws {@link CoreError} `PACKAGE_DATABASE_INVALID`, `PACKAGE_DATABASE_TOO_LARGE` */
export function* readBerkeleyIndex(bytes: Buffer): Generator<IndexRecord> {
  const database = new BerkeleyDatabase(bytes);
  for (const [key, value] of database.records()) {
    if (value.length % 8 !== 0) throw invalidDatabase(`an index entry of ${value.length} bytes`);
    const text = key.toString('latin1');
    for (let at = 0; at < value.length; at += 8) {
      yield { key: text, number: database.uint32(value, at), position: database.uint32(value, at + 4) };
    }
  }
}
