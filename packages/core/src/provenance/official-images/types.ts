/** What an entry builds on one architecture. Values as the file gives them, after inheritance. */
export interface LibraryBuild {
  /** bashbrew name: `arm64v8`. */
  readonly architecture: string;
  /** Repository URL as written. */
  readonly gitRepo: string;
  /** Branch or tag that holds the commit; absent in the line format, which fetched every branch. */
  readonly gitFetch?: string;
  /** Full commit id, in the line format sometimes an abbreviated one; absent in a line-format entry that names a git tag. */
  readonly gitCommit?: string;
  /** Build context inside the repository; `.` is its root. */
  readonly directory: string;
  /** Relative to the directory. */
  readonly file: string;
  /** When the file names none, Docker's default of the day built it: classic once, BuildKit since 2023. */
  readonly builder?: 'buildkit' | 'classic' | 'oci-import';
}

/**
 * The tags of one source: a paragraph of a library file, or a line of the line format. Those that build the same are one entry,
 * as bashbrew has it.
 */
export interface LibraryEntry {
  /** 1-based line it starts on; of several that build the same, the first. */
  readonly line: number;
  readonly tags: readonly string[];
  /** Tags several entries share, one per platform. */
  readonly sharedTags: readonly string[];
  /** `!x` excludes; on Windows the version it needs. */
  readonly constraints: readonly string[];
  /** One per architecture, sorted by name. */
  readonly builds: readonly LibraryBuild[];
}

/** A file `library/<name>` of docker-library/official-images. */
export interface LibraryFile {
  readonly format: 'rfc2822' | 'line';
  readonly maintainers: readonly string[];
  readonly entries: readonly LibraryEntry[];
}
