import { createHash } from 'node:crypto';
import type { RpmPackage } from './rpm-database.ts';
import { RPM_TAG } from './rpm-header.ts';

/** When a package was installed: all else of its record is of the package, or of how it was installed. */
const TIMES: ReadonlySet<number> = new Set([RPM_TAG.installTime, RPM_TAG.installTransaction]);

/**
 * A hash over the records of each `name:architecture`, of which a database may have several; records that differ only in the time of their
 * installation have the same. Order and numbers in the database do not count.
 */
export function rpmFingerprints(packages: readonly RpmPackage[]): Map<string, string> {
  const records = new Map<string, string[]>();
  for (const item of packages) {
    const key = `${item.name}:${item.architecture}`;
    records.set(key, [...(records.get(key) ?? []), fingerprint(item)]);
  }
  return new Map([...records].map(([key, list]) => [key, list.sort().join()]));
}

function fingerprint({ header }: RpmPackage): string {
  const hash = createHash('sha256');
  for (const [tag, { type, count, data }] of [...header].sort(([one], [other]) => one - other)) {
    if (!TIMES.has(tag)) hash.update(`${tag} ${type} ${count} ${data.length}\n`).update(data);
  }
  return hash.digest('hex');
}
