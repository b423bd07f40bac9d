import { type ByteBudget, invalidDatabase } from './database-error.ts';
import { RPM_TAG, type RpmHeader, rpmNumbers, rpmTexts } from './rpm-header.ts';

/** A path of a package, as rpm installed it. */
export interface RpmFile {
  readonly path: string;
  /** File type and permissions, as `stat` says them. */
  readonly mode: number;
  /** Absent for what has no content and for what the package only claims (`%ghost`). */
  readonly digest?: { readonly algorithm: RpmDigestAlgorithm; readonly hex: string };
  /** Text of a symlink. */
  readonly linkTarget?: string;
  /** Configuration: its owner may change it. */
  readonly config: boolean;
  /** Claimed, not brought: the package has no content of it. */
  readonly ghost: boolean;
  /** False when it was left out, as documentation often is. */
  readonly installed: boolean;
}

/** How a package's files were hashed. */
export type RpmDigestAlgorithm = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512';

/** By number of OpenPGP; MD5 where none is said. */
const ALGORITHMS: Readonly<Record<number, RpmDigestAlgorithm>> = {
  1: 'md5',
  2: 'sha1',
  8: 'sha256',
  9: 'sha384',
  10: 'sha512',
  11: 'sha224',
};
const MD5 = 1;
const [CONFIG, GHOST] = [1 << 0, 1 << 6] as const;
/** States of a file in which it is there: normal, and on a shared disk. */
const INSTALLED: ReadonlySet<number> = new Set([0, 3]);

/**
 * Lists the files of a package from its header.
 *
 * @param budget - bytes of paths that may be made: names of directories are stored once, however many files they have
 * @throws {@link CoreError} `PACKAGE_DATABASE_INVALID` when the lists do not belong together
 */
export function rpmFiles(header: RpmHeader, budget: ByteBudget): RpmFile[] {
  const [modes, flags, states] = [RPM_TAG.fileModes, RPM_TAG.fileFlags, RPM_TAG.fileStates].map((tag) =>
    rpmNumbers(header, tag),
  ) as [readonly number[], readonly number[], readonly number[]];
  const [digests, links] = [RPM_TAG.fileDigests, RPM_TAG.fileLinkTargets].map((tag) =>
    rpmTexts(header, tag),
  ) as [readonly string[], readonly string[]];
  const algorithm = ALGORITHMS[rpmNumbers(header, RPM_TAG.fileDigestAlgorithm)[0] ?? MD5];
  return [...rpmPaths(header, budget)].map((path, index): RpmFile => {
    const [hex = '', link = '', flag = 0] = [digests[index], links[index], flags[index]];
    return {
      path,
      mode: modes[index] ?? 0,
      ...(hex !== '' && algorithm !== undefined && { digest: { algorithm, hex: hex.toLowerCase() } }),
      ...(link !== '' && { linkTarget: link }),
      config: (flag & CONFIG) !== 0,
      ghost: (flag & GHOST) !== 0,
      installed: INSTALLED.has(states[index] ?? 0),
    };
  });
}

function* rpmPaths(header: RpmHeader, budget: ByteBudget): Generator<string> {
  const names = rpmTexts(header, RPM_TAG.baseNames);
  if (names.length === 0) {
    // Packages of rpm 3 and before.
    for (const path of rpmTexts(header, RPM_TAG.oldFileNames)) {
      budget.take(path.length);
      yield path;
    }
    return;
  }
  const directories = rpmTexts(header, RPM_TAG.directoryNames);
  const indexes = rpmNumbers(header, RPM_TAG.directoryIndexes);
  for (const [index, name] of names.entries()) {
    const directory = directories[indexes[index] ?? -1];
    if (directory === undefined) throw invalidDatabase(`no directory of the file ${JSON.stringify(name)}`);
    budget.take(directory.length + name.length);
    yield directory + name;
  }
}
