import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A package to be built by rpmbuild. */
export interface PackageSpec {
  readonly name: string;
  readonly version: string;
  readonly epoch?: number;
  /** Contents by path; what is a link begins with `-> `. */
  readonly files?: Readonly<Record<string, string>>;
  /** Lines of `%files` instead of those that `files` make. */
  readonly listed?: readonly string[];
}

/** A root in which the real rpm installs what the real rpmbuild made. */
export interface RpmRoot {
  readonly directory: string;
  /** Where its packages were built. */
  readonly packages: string;
  install(...packages: readonly PackageSpec[]): void;
  erase(...names: readonly string[]): void;
  /** Lines of `rpm -qa` in that format. */
  query(format: string): readonly string[];
  /** A file of the database; empty when it is not there. */
  read(name: string): Buffer;
  close(): void;
}

const DATABASE = '/var/lib/rpm';

/**
 * Makes an empty root whose database is SQLite, as Debian's rpm has no other.
 *
 * @param like - a root whose packages are used, not built again
 */
export function makeRpmRoot(like?: RpmRoot): RpmRoot {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-rpm-'));
  const root = join(directory, 'root');
  const packages = like?.packages ?? directory;
  mkdirSync(root);
  const rpm = (...args: readonly string[]) =>
    execFileSync('rpm', ['--root', root, '--dbpath', DATABASE, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 64 * 2 ** 20,
    });
  return {
    directory: root,
    packages,
    install: (...items) => {
      rpm('-i', '--nodeps', '--noscripts', ...items.map((item) => buildPackage(packages, item)));
    },
    erase: (...names) => {
      rpm('-e', ...names);
    },
    query: (format) =>
      rpm('-qa', '--qf', format)
        .split('\n')
        .filter((line) => line !== ''),
    read: (name) => {
      try {
        return readFileSync(join(root, DATABASE, name));
      } catch {
        return Buffer.alloc(0);
      }
    },
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function buildPackage(directory: string, item: PackageSpec): string {
  const { name, version, epoch, files = {} } = item;
  const spec = [
    `Name: ${name}`,
    ...(epoch === undefined ? [] : [`Epoch: ${epoch}`]),
    `Version: ${version}`,
    ...['Release: 1', `Summary: ${name}`, 'License: MIT', 'BuildArch: noarch', 'AutoReqProv: no', '%description', name, '%install'],
    ...Object.entries(files).flatMap(([path, content]) => [
      `mkdir -p %{buildroot}$(dirname ${path})`,
      content.startsWith('-> ')
        ? `ln -s '${content.slice(3)}' %{buildroot}${path}`
        : `printf %s '${content}' > %{buildroot}${path}`,
    ]),
    '%files',
    ...(item.listed ?? Object.keys(files)),
  ];
  const top = join(directory, `${name}-${version}`);
  const built = join(top, 'RPMS', 'noarch', `${name}-${version}-1.noarch.rpm`);
  if (existsSync(built)) return built;
  mkdirSync(top, { recursive: true });
  writeFileSync(join(top, 'package.spec'), `${spec.join('\n')}\n`);
  // No step after the installation: those want compilers' tools.
  const defines = [`_topdir ${top}`, '__os_install_post %{nil}'].flatMap((define) => ['--define', define]);
  execFileSync('rpmbuild', ['-bb', '--quiet', ...defines, join(top, 'package.spec')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return built;
}
