import type { OperationOptions } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import type { SourceEntry, SourceHost, SourceLocation } from '../lineage/types.ts';
import { parseDockerignore } from './dockerignore.ts';

/** Files of one context. */
const MAX_ENTRIES = 100_000;
/** Bytes of one context: 2 GiB. */
const MAX_BYTES = 2 * 1024 * 1024 * 1024;
const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1';

/**
 * Reads the build context of a step: the directory at the commit, less what its `.dockerignore` names. No engine applies
 * that file to a context sent as a tar, so it is applied here; a `<Dockerfile>.dockerignore` goes before it, as in BuildKit.
 *
 * @throws {@link CoreError} `SOURCE_UNSUPPORTED` for a submodule or a Git LFS pointer, whose content the repository does not
 * hold; `SOURCE_INVALID` for a path that leaves the context or appears twice, and a `.dockerignore` docker refuses; `SOURCE_LIMIT_EXCEEDED`; whatever the host throws.
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
  const wanted = withoutIgnored(entries, dockerfileIn(location));
  for (const entry of wanted) refuseForeign(entry, location);
  return wanted;
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
  dockerfile: string | undefined,
): readonly SourceEntry[] {
  const rules = [`${dockerfile}.dockerignore`, '.dockerignore']
    .map((path) => entries.get(path))
    .find((entry) => entry?.type === 'file' || entry?.type === 'executable');
  if (rules === undefined) return [...entries.values()];
  const filter = parseDockerignore(Buffer.from(rules.content).toString('utf8'));
  return [...entries.values()].filter(({ path }) => !filter.ignores(path));
}

function refuseForeign(entry: SourceEntry, location: SourceLocation): void {
  const pointer =
    (entry.type === 'file' || entry.type === 'executable') &&
    entry.content.byteLength < 1024 &&
    Buffer.from(entry.content).toString('latin1').startsWith(LFS_POINTER);
  if (entry.type !== 'submodule' && !pointer) return;
  const what = pointer ? 'a Git LFS pointer' : 'a submodule';
  throw new CoreError('SOURCE_UNSUPPORTED', `${entry.path} of ${location.repository} is ${what}`, {
    hint: 'Its content is not in the repository at that commit, so the image cannot be rebuilt from it.',
  });
}
