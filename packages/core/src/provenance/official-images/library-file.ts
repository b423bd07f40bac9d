import { CoreError } from '../../errors.ts';
import { isCommitId, isFetchRef, toRepositoryPath } from '../location.ts';
import { ARCHITECTURES } from './architectures.ts';
import { joinEntries, type WrittenEntry } from './entries.ts';
import { parseLines } from './line-format.ts';
import { type Field, type Paragraph, readParagraphs } from './paragraphs.ts';
import type { LibraryBuild, LibraryEntry, LibraryFile } from './types.ts';

/** A source a tag stands for on an architecture. */
export interface LibraryCandidate {
  readonly entry: LibraryEntry;
  readonly build: LibraryBuild;
}

/**
 * Parses a library file, in today's format or the one-line-per-tag format used until 2021.
 *
 * @throws {@link CoreError} `INVALID_LIBRARY_FILE` with `details.line`
 * @see https://github.com/docker-library/official-images#instruction-format
 */
export function parseLibraryFile(text: string): LibraryFile {
  try {
    return parseParagraphs(text);
  } catch (error) {
    const old = parseLines(text);
    if (old === undefined) throw error;
    return { ...old, entries: joinEntries(old.entries) };
  }
}

/**
 * Finds every source a tag stands for on an architecture. Shared tags can have several (one per Windows
 * version); an empty list means the file does not have the tag there.
 *
 * @param architecture bashbrew name: `arm64v8`
 */
export function resolveLibraryTag(
  file: LibraryFile,
  tag: string,
  architecture: string,
): readonly LibraryCandidate[] {
  return file.entries.flatMap((entry) => {
    if (!entry.tags.includes(tag) && !entry.sharedTags.includes(tag)) return [];
    return entry.builds
      .filter((build) => build.architecture === architecture)
      .map((build) => ({ entry, build }));
  });
}

function parseParagraphs(text: string): LibraryFile {
  const [first, ...rest] = readParagraphs(text);
  const global = inherit(undefined, first ?? { line: 1, fields: new Map() });
  if (global.maintainers.length === 0) throw invalid(global.line, 'the first paragraph has no Maintainers');
  const unknown = global.architectures.find((architecture) => !ARCHITECTURES.has(architecture));
  if (unknown !== undefined) throw unknownArchitecture(global.line, unknown);
  if (global.tags.length > 0) throw invalid(global.line, 'the first paragraph has Tags');
  const entries = rest.map((paragraph) => toEntry(inherit(global, paragraph)));
  return { format: 'rfc2822', maintainers: global.maintainers, entries: joinEntries(entries) };
}

interface Draft {
  readonly line: number;
  readonly maintainers: readonly string[];
  readonly tags: readonly string[];
  readonly sharedTags: readonly string[];
  readonly architectures: readonly string[];
  readonly constraints: readonly string[];
  /** Build fields by name, `<arch>-` prefixed ones included. */
  readonly fields: ReadonlyMap<string, Field>;
}

/** Maintainers, Tags and Constraints add to what is inherited; SharedTags and Architectures replace it. */
function inherit(parent: Draft | undefined, paragraph: Paragraph): Draft {
  const list = (name: string) => splitList(paragraph.fields.get(name)?.value);
  const added = (name: string, inherited: readonly string[] = []) => [...inherited, ...list(name)];
  const replaced = (name: string, inherited: readonly string[] = []) => {
    const own = list(name);
    return own.length > 0 ? own : inherited;
  };
  const stranger = list('Maintainers').find((maintainer) => !isMaintainer(maintainer));
  if (stranger !== undefined)
    throw invalid(paragraph.line, `Maintainers has ${JSON.stringify(stranger.slice(0, 200))}`);
  return {
    line: paragraph.line,
    maintainers: added('Maintainers', parent?.maintainers),
    tags: added('Tags', parent?.tags),
    constraints: added('Constraints', parent?.constraints).filter((constraint) => constraint !== ''),
    sharedTags: [...new Set(replaced('SharedTags', parent?.sharedTags))],
    architectures: [...new Set(replaced('Architectures', parent?.architectures ?? ['amd64']))].sort(),
    fields: new Map([...(parent?.fields ?? []), ...paragraph.fields]),
  };
}

function toEntry(draft: Draft): WrittenEntry {
  if (draft.tags.length === 0) throw invalid(draft.line, 'an entry has no Tags');
  return {
    entry: {
      line: draft.line,
      tags: draft.tags,
      sharedTags: draft.sharedTags,
      constraints: draft.constraints,
      builds: draft.architectures.map((architecture) => toBuild(draft, architecture)),
    },
    builds: buildKey(draft),
  };
}

/** bashbrew compares what is written, also for architectures the entry does not have. */
function buildKey({ fields, architectures, constraints }: Draft): string {
  const general = { GitFetch: 'refs/heads/master', Directory: '.', File: 'Dockerfile' };
  const written = Object.entries(general).concat(
    [...fields].filter(([, { value }]) => value !== '').map(([name, { value }]) => [name, value]),
  );
  const build = written
    .filter(([name]) => /(?:^|-)(?:GitRepo|GitFetch|GitCommit|Directory|File|Builder)$/.test(name))
    .map(
      ([name, value]) => [name, /(?:^|-)Directory$/.test(name) ? toRepositoryPath(value) : value] as const,
    );
  return JSON.stringify([[...new Map(build)].sort(), architectures, constraints]);
}

function toBuild(draft: Draft, architecture: string): LibraryBuild {
  if (!ARCHITECTURES.has(architecture)) {
    throw unknownArchitecture(draft.line, architecture);
  }
  const read = <T>(name: string, fallback: string, check: (value: string) => T | undefined): T => {
    const own = draft.fields.get(`${architecture}-${name}`);
    const field = own === undefined || own.value === '' ? draft.fields.get(name) : own;
    const value = check(field === undefined ? fallback : field.value);
    if (value !== undefined) return value;
    const problem = field?.value ? `is ${JSON.stringify(field.value.slice(0, 200))}` : 'is missing';
    throw invalid(field?.line ?? draft.line, `${name} ${problem} for ${architecture}`);
  };
  return {
    architecture,
    gitRepo: read('GitRepo', '', (value) => value || undefined),
    gitFetch: read('GitFetch', 'refs/heads/master', (value) => (isFetchRef(value) ? value : undefined)),
    gitCommit: read('GitCommit', '', (value) => (isCommitId(value) ? value : undefined)),
    directory: read('Directory', '.', toRepositoryPath),
    file: read('File', 'Dockerfile', (value) =>
      value === '' || toRepositoryPath(value) === undefined ? undefined : value,
    ),
    ...read('Builder', '', toBuilder),
  };
}

function toBuilder(builder: string): Pick<LibraryBuild, 'builder'> | undefined {
  if (builder === '') return {};
  return builder === 'buildkit' || builder === 'classic' || builder === 'oci-import'
    ? { builder }
    : undefined;
}

/** `Name <address> (@handle)`, the address optional; white space is that of ASCII. Takes linear time. */
function isMaintainer(text: string): boolean {
  const end = text.search(/[<>()]/);
  const name = text.slice(0, Math.max(0, end));
  const rest = text.slice(name.length);
  return (
    /^[^\t\n\f\r ]/.test(name) &&
    /[\t\n\f\r ]$/.test(name) &&
    /^(?:<[^\t\n\f\r <>()]+>[\t\n\f\r ]+)?\(@[^\t\n\f\r <>()]+\)$/.test(rest)
  );
}

/** A field that is there has one item at least, which can be empty. */
function splitList(value: string | undefined): readonly string[] {
  return value === undefined ? [] : strip(value).split(',').map(strip);
}

/** Around items of a list bashbrew removes these only. */
function strip(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && '\n\r\t '.includes(text[start]!)) start += 1;
  while (end > start && '\n\r\t '.includes(text[end - 1]!)) end -= 1;
  return text.slice(start, end);
}

function unknownArchitecture(line: number, architecture: string): CoreError {
  const name = JSON.stringify(architecture.slice(0, 200));
  return invalid(line, `Architectures has ${name}, which bashbrew does not know`);
}

function invalid(line: number, message: string): CoreError {
  return new CoreError('INVALID_LIBRARY_FILE', `library file, line ${line}: ${message}`, {
    details: { line },
  });
}
