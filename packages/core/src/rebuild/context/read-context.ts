import type { OperationOptions } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { SourceEntry, SourceHost, SourceLocation } from '../../lineage/types.ts';
import { parseDockerignore } from './dockerignore.ts';
import { foreignContent } from './foreign-content.ts';

/** Files of one context. */
const MAX_ENTRIES = 100_000;
/** Bytes of one context: 2 GiB. */
const MAX_BYTES = 2 * 1024 * 1024 * 1024;

/**
 * Reads the build context of a step: the directory at the commit, less what its `.dockerignore` names. No engine applies
 * that file to a context sent as a tar, so it is applied here; a `<Dockerfile>.dockerignore` goes before it, as in BuildKit.
 *
 * Submodules and Git LFS pointers, whose content the repository does not hold, are among what it gives: `findForeignContent`.
 *
 * @throws {@link CoreError} `SOURCE_UNSUPPORTED` for a `.dockerignore` that is a Git LFS pointer; `SOURCE_INVALID` for a path that leaves the context or appears twice, and a `.dockerignore` docker refuses; `SOURCE_LIMIT_EXCEEDED`; whatever the host throws.
 */
export async function readContext(
  host: Pick<SourceHost, 'readDirectory'>,
  location: SourceLocation,
  options: OperationOptions = {},
): Promise<readonly SourceEntry[]> {
  const entries = new Map<string, SourceEntry>();
  let bytes = 0;
  const { repository, commit, directory } = location;
  for await (const entry of host.readDirectory(repository, commit, directory, options)) {
    if (!isInside(entry.path) || entries.has(entry.path)) {
      const path = JSON.stringify(entry.path.slice(0, 500));
      throw new CoreError(
        'SOURCE_INVALID',
        `${path} of ${repository} leaves the build context, or is there twice`,
      );
    }
    entries.set(entry.path, entry);
    bytes += entry.content.byteLength;
    if (entries.size > MAX_ENTRIES || bytes > MAX_BYTES) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `the build context ${directory} of ${repository} is larger than ${MAX_ENTRIES} files or ${MAX_BYTES} bytes`,
      );
    }
  }
  return withoutIgnored(entries, location);
}

/** Path of the Dockerfile inside the build context, or undefined when it lies outside. */
export function dockerfileIn({
  directory,
  path,
}: Pick<SourceLocation, 'directory' | 'path'>): string | undefined {
  if (directory === '.' || directory === '') return path;
  return path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : undefined;
}

function isInside(path: string): boolean {
  return (
    !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

function withoutIgnored(
  entries: ReadonlyMap<string, SourceEntry>,
  location: SourceLocation,
): readonly SourceEntry[] {
  const rules = [`${dockerfileIn(location)}.dockerignore`, '.dockerignore']
    .map((path) => entries.get(path))
    .find((entry) => entry?.type === 'file' || entry?.type === 'executable');
  if (rules === undefined) return [...entries.values()];
  if (foreignContent(rules) !== undefined) {
    throw new CoreError(
      'SOURCE_UNSUPPORTED',
      `${rules.path} of ${location.repository} is a Git LFS pointer`,
      {
        hint: 'What the build context leaves out is not in the repository at that commit.',
      },
    );
  }
  const filter = parseDockerignore(Buffer.from(rules.content).toString('utf8'));
  return [...entries.values()].filter(({ path }) => !filter.ignores(path));
}
