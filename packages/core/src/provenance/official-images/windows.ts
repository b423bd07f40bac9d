/** First `os.version` build number of each Windows release official images are built for. */
const BUILDS: ReadonlyMap<string, string> = new Map([
  ['ltsc2016', '14393'],
  ['sac2016', '14393'],
  ['1709', '16299'],
  ['1803', '17134'],
  ['1809', '17763'],
  ['ltsc2019', '17763'],
  ['ltsc2022', '20348'],
  ['ltsc2025', '26100'],
]);

/**
 * Tells whether an entry's constraints (`windowsservercore-ltsc2022`) fit an `os.version` (`10.0.20348.2700`).
 * True when either says nothing about Windows.
 */
export function matchesVersion(constraints: readonly string[], version: string | undefined): boolean {
  const builds = constraints.flatMap((constraint) => BUILDS.get(releaseOf(constraint) ?? '') ?? []);
  return version === undefined || builds.length === 0 || builds.includes(version.split('.')[2] ?? '');
}

/** Tells whether two entries' constraints can hold on one machine: false when each needs Windows, and not the same. */
export function matchesConstraints(one: readonly string[], other: readonly string[]): boolean {
  const needed = (constraints: readonly string[]) =>
    constraints.flatMap((constraint) => {
      const release = releaseOf(constraint);
      return release === undefined ? [] : [BUILDS.get(release) ?? release];
    });
  const mine = needed(one);
  const theirs = needed(other);
  return mine.length === 0 || theirs.length === 0 || mine.some((release) => theirs.includes(release));
}

function releaseOf(constraint: string): string | undefined {
  return /^(?:windowsservercore|nanoserver)-([a-z0-9]+)$/.exec(constraint)?.[1];
}
