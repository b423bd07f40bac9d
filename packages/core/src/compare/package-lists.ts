import type { FilesystemEntry, FilesystemView } from '@imagevet/registry';
import type { PackageDifference } from './types.ts';

/** An installed package, as the image's own package manager lists it. */
export interface InstalledPackage {
  readonly manager: PackageDifference['manager'];
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
  /** The whole text of its entry in the list. */
  readonly record: string;
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

/** Reads the installed packages of an image whose lists were kept. */
export function readPackages(view: FilesystemView): InstalledPackage[] {
  const lists = Object.entries(PACKAGE_LISTS).flatMap(([path, manager]) =>
    parsePackages(view.get(path)?.content, manager),
  );
  const single = view.list(STATUS_DIRECTORY).flatMap(({ content }) => parsePackages(content, 'dpkg'));
  return [...lists, ...single];
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

/** Lists the packages that moved between two images, by name. */
export function diffPackages(
  original: readonly InstalledPackage[],
  rebuilt: readonly InstalledPackage[],
): PackageDifference[] {
  const differences = new Map<string, PackageDifference>();
  const versions = (packages: readonly InstalledPackage[]) =>
    new Map(packages.map((item) => [`${item.name} ${item.architecture} ${item.manager}`, item]));
  const [before, after] = [versions(original), versions(rebuilt)];
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

/** What the package manager keeps of one package: its own file, or the list of all. */
export function packageEntry(
  view: FilesystemView,
  { manager, name, architecture }: PackageDifference,
): FilesystemEntry | undefined {
  const info = '/var/lib/dpkg/info';
  const own = [
    ...[`${info}/${name}:${architecture}.list`, `${info}/${name}.list`, `${STATUS_DIRECTORY}/${name}`],
    ...Object.entries(PACKAGE_LISTS).flatMap(([path, of]) => (of === manager ? [path] : [])),
  ];
  return own.map((path) => view.get(path)).find((entry) => entry !== undefined);
}
