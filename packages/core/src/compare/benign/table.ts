import { sameDnfLog } from './dnf-log.ts';
import { sameFonts } from './fontconfig-cache.ts';
import { sameLibraries } from './ldconfig-cache.ts';

/** A way in which a file may differ between two equal builds. */
export interface BenignChange {
  readonly cause: string;
  /** Whether the two contents, parsed, say the same. */
  same(original: Buffer, rebuilt: Buffer): boolean;
}

const DATE = '\\d{4}-\\d\\d-\\d\\d {1,2}\\d\\d:\\d\\d:\\d\\d';
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
/** The third field, in days since 1970; 0 would mean something else. */
const PASSWORD_DAYS = sameButFor('days of password changes', '^([^:\\n]*:[^:\\n]*:)[1-9]\\d{0,5}(?=:)');

const DNF_LOG: BenignChange = { cause: 'times and sizes in a log of dnf', same: sameDnfLog };

/**
 * Files known to differ from build to build, each with the only difference it may have. A path alone explains
 * nothing: everything else in the file must be the same, byte for byte or entry for entry.
 */
export const BENIGN_CHANGES: ReadonlyMap<string, BenignChange> = new Map<string, BenignChange>([
  ['/var/log/dpkg.log', sameButFor('times in the dpkg log', `^()${DATE} `)],
  [
    '/var/log/alternatives.log',
    sameButFor('times in the alternatives log', `^(update-alternatives )${DATE}: `),
  ],
  ['/var/log/apt/history.log', sameButFor('times in the apt log', `^((?:Start|End)-Date: )${DATE}$`)],
  ['/var/log/apt/term.log', sameButFor('times in the apt log', `^(Log (?:started|ended): )${DATE}$`)],
  ...['dnf', 'dnf.rpm', 'dnf.librepo', 'hawkey'].map((log) => [`/var/log/${log}.log`, DNF_LOG] as const),
  ['/var/log/yum.log', sameButFor('times in the yum log', `^()${MONTH} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d `)],
  [
    '/var/log/zypp/history',
    // Who gave a command is root at the name of the container; a package ends with the checksum of its file.
    sameButFor(
      'times, hosts and checksums in the history of zypper',
      `^(|# )${DATE}(?=[| ])|(?<=\\|root@)[^|\\n]{1,64}(?=\\|)|(?<=\\|)[0-9a-f]{32,128}(?=\\|$)`,
    ),
  ],
  ['/etc/shadow', PASSWORD_DAYS],
  ['/etc/shadow-', PASSWORD_DAYS],
  [
    '/var/cache/ldconfig/aux-cache',
    { cause: 'inode numbers and times in the cache of ldconfig', same: sameLibraries },
  ],
]);

const FONTS: BenignChange = { cause: 'the time of the folder in a cache of fontconfig', same: sameFonts };
/** Names of the caches that {@link sameFonts} can read: little-endian, 64 bits. */
export const FONT_CACHE = '/var/cache/fontconfig/[0-9a-f]{32}-le64\\.cache-\\d{1,3}';
const FONT_CACHE_PATH = new RegExp(`^${FONT_CACHE}$`);

/** The only difference a file may have, by its path. */
export function benignChange(path: string): BenignChange | undefined {
  return BENIGN_CHANGES.get(path) ?? (FONT_CACHE_PATH.test(path) ? FONTS : undefined);
}

/** Texts that are the same once what a pattern finds, line by line and but for its group, is taken out. */
function sameButFor(cause: string, pattern: string): BenignChange {
  const times = new RegExp(pattern, 'gm');
  const strip = (content: Buffer) => content.toString('latin1').replaceAll(times, '$1\0');
  const same = (original: Buffer, rebuilt: Buffer) =>
    !original.includes(0) && !rebuilt.includes(0) && strip(original) === strip(rebuilt);
  return { cause, same };
}
