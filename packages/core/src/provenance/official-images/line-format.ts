import { isFetchRef, toRepositoryPath } from '../location.ts';
import { trimBlanks } from './blanks.ts';
import type { WrittenEntry } from './entries.ts';

/**
 * Parses the format library files had until 2021: a line `tag: repository@commit [directory]` per tag, its
 * maintainers in comments. What is not hexadecimal in place of the commit is a git tag.
 *
 * @returns undefined when a line is not of that form
 */
export function parseLines(text: string):
  | {
      readonly format: 'line';
      readonly maintainers: readonly string[];
      readonly entries: readonly WrittenEntry[];
    }
  | undefined {
  const maintainers: string[] = [];
  const entries: WrittenEntry[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = trimBlanks(raw);
    if (line.startsWith('#')) {
      const maintainer = /^#\s*maintainer:?\s+(\S.*)$/i.exec(line)?.[1];
      if (maintainer !== undefined) maintainers.push(maintainer);
    } else if (line !== '') {
      const entry = parseEntry(line, index + 1);
      if (entry === undefined) return undefined;
      entries.push(entry);
    }
  }
  return entries.length === 0 ? undefined : { format: 'line', maintainers, entries };
}

function parseEntry(text: string, line: number): WrittenEntry | undefined {
  const colon = text.indexOf(':');
  const at = text.indexOf('@', colon + 1);
  if (colon < 0 || at < 0) return undefined;
  const gitRepo = trimBlanks(text.slice(colon + 1, at));
  const [first = '', ...rest] = text.slice(at + 1).split(' ');
  const version = trimBlanks(first);
  const directory = toRepositoryPath(trimBlanks(rest.join(' ')));
  const gitFetch = `refs/tags/${version}`;
  if (gitRepo === '' || directory === undefined || !(COMMIT.test(version) || isFetchRef(gitFetch)))
    return undefined;
  const build = {
    architecture: 'amd64',
    gitRepo,
    ...(COMMIT.test(version) ? { gitCommit: version } : { gitFetch }),
    directory,
    file: 'Dockerfile',
  };
  return {
    entry: {
      line,
      tags: [trimBlanks(text.slice(0, colon))],
      sharedTags: [],
      constraints: [],
      builds: [build],
    },
    builds: JSON.stringify(build),
  };
}

/** Full or abbreviated. */
const COMMIT = /^[0-9a-f]{1,64}$/;
