import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import type { RpmHeader } from '../databases/rpm-header.ts';
import type { PackageDifference } from '../types.ts';
import { RPM_DATABASES, type RpmPackages } from './rpm-databases.ts';

/** An installed package, as the image's own package manager lists it. */
export interface InstalledPackage {
  readonly manager: PackageDifference['manager'];
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
  /** The whole text of its entry in the list; empty for rpm. */
  readonly record: string;
  /** Its entry in the database of rpm. */
  readonly header?: RpmHeader;
}

/** Where package managers keep what is installed. */
export const PACKAGE_LISTS: Readonly<Record<string, InstalledPackage['manager']>> = {
  '/var/lib/dpkg/status': 'dpkg',
  '/lib/apk/db/installed': 'apk',
  '/usr/lib/apk/db/installed': 'apk',
};
/** What dpkg's list was before its last change. */
export const DPKG_STATUS_BEFORE = '/var/lib/dpkg/status-old';
/** Images without dpkg itself (distroless) list each package in a file of its own. */
export const STATUS_DIRECTORY = '/var/lib/dpkg/status.d';

/**
 * Reads the installed packages of an image whose lists were kept.
 *
 * @param databases - what its databases of rpm hold
 */
export function readPackages(view: FilesystemView, databases: RpmPackages): InstalledPackage[] {
  const lists = Object.entries(PACKAGE_LISTS).flatMap(([path, manager]) =>
    parsePackages(view.get(path)?.content, manager),
  );
  const single = view.list(STATUS_DIRECTORY).flatMap(({ content }) => parsePackages(content, 'dpkg'));
  const ofRpm = [...databases.values()].flat().map(
    ({ name, architecture, version, header }): InstalledPackage => ({
      ...{ manager: 'rpm', name, architecture, version, record: '', header },
    }),
  );
  return [...lists, ...single, ...ofRpm];
}

/** Parses a list: paragraphs of `Key: value` (dpkg) or `K:value` (apk) lines. */
export function parsePackages(
  content: Uint8Array | undefined,
  manager: InstalledPackage['manager'],
): InstalledPackage[] {
  if (content === undefined) return [];
  return splitRecords(content).flatMap((record) => {
    const fields = new Map<string, string>();
    for (const line of record.split('\n')) {
      const colon = line.indexOf(':');
      // Continuation lines of dpkg begin with a space; in apk files come after the package's own fields.
      if (colon > 0 && line[0] !== ' ' && !fields.has(line.slice(0, colon))) {
        fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
      }
    }
    return manager === 'dpkg' ? fromDpkg(fields, record) : fromApk(fields, record);
  });
}

/**
 * The text of each record by its package's name, installed or not; `undefined` when a record has no name or a name
 * has two records of one architecture.
 */
export function packageRecords(content: Uint8Array): Map<string, string> | undefined {
  const records = new Map<string, string>();
  for (const record of splitRecords(content)) {
    const name = /^(?:Package: |P:)(\S+)$/m.exec(record)?.[1];
    const architecture = /^(?:Architecture: |A:)(\S+)$/m.exec(record)?.[1];
    const key = `${name}:${architecture}`;
    if (name === undefined || records.has(key)) return undefined;
    records.set(key, record);
  }
  return records;
}

function splitRecords(content: Uint8Array): string[] {
  const records = Buffer.from(content)
    .toString('utf8')
    .split(/\n(?:[ \t]*\n)+/);
  return records.map((record) => record.trimEnd()).filter((record) => record !== '');
}

function fromDpkg(fields: ReadonlyMap<string, string>, record: string): InstalledPackage[] {
  const [name, version] = [fields.get('Package'), fields.get('Version')];
  // Removed packages stay listed until purged.
  const installed = fields.get('Status')?.endsWith(' installed') ?? true;
  if (name === undefined || version === undefined || !installed) return [];
  return [{ manager: 'dpkg', name, architecture: fields.get('Architecture') ?? '', version, record }];
}

function fromApk(fields: ReadonlyMap<string, string>, record: string): InstalledPackage[] {
  const [name, version] = [fields.get('P'), fields.get('V')];
  if (name === undefined || version === undefined) return [];
  return [{ manager: 'apk', name, architecture: fields.get('A') ?? '', version, record }];
}

/**
 * Lists the packages that moved between two images, by name. Where several versions of one are installed, as rpm has of keys and kernels,
 * they are listed together.
 */
export function diffPackages(
  original: readonly InstalledPackage[],
  rebuilt: readonly InstalledPackage[],
): PackageDifference[] {
  const differences = new Map<string, PackageDifference>();
  const [before, after] = [groupVersions(original), groupVersions(rebuilt)];
  for (const [key, { manager, name, architecture }] of [...before, ...after]) {
    const [one, other] = [before.get(key)?.version, after.get(key)?.version];
    if (one === other) continue;
    differences.set(key, {
      ...{ manager, name, architecture },
      ...(one !== undefined && { original: one }),
      ...(other !== undefined && { rebuilt: other }),
    });
  }
  return [...differences.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, difference]) => difference);
}

function groupVersions(packages: readonly InstalledPackage[]): Map<string, InstalledPackage> {
  const versions = new Map<string, Set<string>>();
  const key = ({ name, architecture, manager }: InstalledPackage) => `${name} ${architecture} ${manager}`;
  for (const item of packages) {
    const known = versions.get(key(item));
    if (known === undefined) versions.set(key(item), new Set([item.version]));
    else known.add(item.version);
  }
  return new Map(
    packages.map((item) => [
      key(item),
      { ...item, version: [...versions.get(key(item))!].sort().join(', ') },
    ]),
  );
}

/** What the package manager keeps of one package: its own file, or the list of all. */
export function packageEntry(
  view: FilesystemView,
  { manager, name, architecture }: PackageDifference,
): FilesystemEntry | undefined {
  return keptBy(manager, name, architecture)
    .map((path) => view.get(path))
    .find((entry) => entry !== undefined);
}

function keptBy(
  manager: PackageDifference['manager'],
  name: string,
  architecture: string,
): readonly string[] {
  const info = '/var/lib/dpkg/info';
  const lists = Object.entries(PACKAGE_LISTS).flatMap(([path, of]) => (of === manager ? [path] : []));
  if (manager === 'rpm') return RPM_DATABASES;
  if (manager === 'apk') return lists;
  return [
    ...[`${info}/${name}:${architecture}.list`, `${info}/${name}.list`, `${STATUS_DIRECTORY}/${name}`],
    ...lists,
  ];
}
