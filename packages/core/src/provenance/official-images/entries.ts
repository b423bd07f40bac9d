import { CoreError } from '../../errors.ts';
import type { LibraryEntry } from './types.ts';

/** An entry as its paragraph or line gives it. */
export interface WrittenEntry {
  readonly entry: LibraryEntry;
  /** Equal for entries that build the same. */
  readonly builds: string;
}

/**
 * Joins entries that build the same into the first of them, and checks that a tag belongs to one entry.
 *
 * @throws {@link CoreError} `INVALID_LIBRARY_FILE` with `details.line`
 */
export function joinEntries(written: readonly WrittenEntry[]): readonly LibraryEntry[] {
  checkTags(written.map(({ entry }) => entry));
  const groups = Map.groupBy(written, ({ builds }) => builds);
  return [...groups.values()].map((group) => ({
    ...group[0]!.entry,
    tags: group.flatMap(({ entry }) => entry.tags),
    sharedTags: [...new Set(group.flatMap(({ entry }) => entry.sharedTags))],
  }));
}

/** Only a shared tag may stand in several entries. */
function checkTags(entries: readonly LibraryEntry[]): void {
  const owners = new Map<string, number>();
  for (const { tags, line } of entries) {
    for (const tag of tags) {
      const owner = owners.get(tag);
      if (owner !== undefined) throw invalid(line, `tag ${JSON.stringify(tag)} is also in line ${owner}`);
      if (!isTag(tag)) throw invalid(line, `invalid tag ${JSON.stringify(tag.slice(0, 200))}`);
      owners.set(tag, line);
    }
  }
  for (const { sharedTags, line } of entries) {
    for (const tag of sharedTags) {
      const owner = owners.get(tag);
      if (owner !== undefined)
        throw invalid(line, `shared tag ${JSON.stringify(tag)} is a tag of line ${owner}`);
      if (!isTag(tag)) throw invalid(line, `invalid shared tag ${JSON.stringify(tag.slice(0, 200))}`);
    }
  }
}

function isTag(text: string): boolean {
  return /^\w[\w.-]{0,127}$/.test(text);
}

function invalid(line: number, message: string): CoreError {
  return new CoreError('INVALID_LIBRARY_FILE', `library file, line ${line}: ${message}`, {
    details: { line },
  });
}
