import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import { GitExit, type GitOptions, runGit } from '../provenance/hosts/git/git-command.ts';
import { GitFiles } from '../provenance/hosts/git/git-files.ts';
import { GitObjects, type GitObjectsOptions } from '../provenance/hosts/git/git-objects.ts';
import { isCommitId } from '../provenance/location.ts';
import type { CatalogLibrary } from './types.ts';

/** The texts of a library, as read. */
export interface LibraryFiles {
  /** The commit of official-images; absent for a directory. */
  readonly commit?: string;
  /** Library files by name, sorted. */
  readonly texts: ReadonlyMap<string, string>;
  /** Digests of `.external-pins`, by canonical reference: `mcr.microsoft.com/windows/servercore:ltsc2022`. */
  readonly pins: ReadonlyMap<string, Digest>;
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_FILES = 10_000;

/**
 * Reads every library file and external pin.
 *
 * @throws {@link CoreError} `SOURCE_NOT_FOUND` when there is no such commit, or no `library/`; `SOURCE_LIMIT_EXCEEDED` for a file over
 * 4 MiB or more than 10,000 files; `SOURCE_INVALID`, `SOURCE_UNREACHABLE`, `SOURCE_UNSUPPORTED` from git
 */
export async function readLibraryFiles(
  library: CatalogLibrary,
  options: GitOptions & Pick<GitObjectsOptions, 'onRead'> & { readonly signal?: AbortSignal },
): Promise<LibraryFiles> {
  if ('directory' in library) {
    const read = async (name: string) => readTexts(join(library.directory, name), options.signal);
    return assemble(await read('library'), await read('.external-pins'));
  }
  const commit = await findCommit(library, options);
  await using objects = new GitObjects(library.mirror, { ...options, maxObjectBytes: MAX_FILE_BYTES });
  const files = new GitFiles(objects);
  const read = (path: string) => readGitTexts(objects, files, commit, path, options.signal);
  return { commit, ...assemble(await read('library'), await read('.external-pins')) };
}

function assemble(
  texts: ReadonlyMap<string, string> | undefined,
  pins: ReadonlyMap<string, string> | undefined,
): Omit<LibraryFiles, 'commit'> {
  if (texts === undefined)
    throw new CoreError('SOURCE_NOT_FOUND', 'read the library: there is no directory library/');
  const files = [...texts].filter(([name]) => !name.includes('/') && name !== 'MAINTAINERS');
  return { texts: new Map(files), pins: new Map([...(pins ?? [])].flatMap(readPin)) };
}

/** A file of `.external-pins` is named like the reference, with `___` for the colon, and holds a digest. */
function readPin([path, text]: readonly [string, string]): readonly (readonly [string, Digest])[] {
  const digest = text.trim();
  if (!path.includes('___') || !/^sha256:[0-9a-f]{64}$/.test(digest)) return [];
  const reference = path.replace('___', ':');
  const canonical = /^[^/]*[.:][^/]*\//.test(reference) ? reference : `docker.io/${reference}`;
  return [[canonical, digest as Digest]];
}

async function findCommit(
  { mirror, commit, asOf }: Extract<CatalogLibrary, { mirror: string }>,
  options: GitOptions & { readonly signal?: AbortSignal },
): Promise<string> {
  if (commit !== undefined) {
    if (isCommitId(commit)) return commit;
    throw new CoreError(
      'INVALID_OPTIONS',
      `commit: expected a full commit id, received ${JSON.stringify(commit)}`,
    );
  }
  const until = asOf === undefined ? [] : [`--until=${asOf.toISOString()}`];
  const args = ['log', '--first-parent', '--max-count=1', '--format=%H', ...until, 'HEAD', '--'];
  const { signal } = options;
  const operation = `find the commit of ${mirror}${asOf === undefined ? '' : ` as of ${asOf.toISOString()}`}`;
  try {
    const printed = await runGit({ directory: mirror, arguments: args, maxBytes: 4096, signal }, options);
    const found = printed.toString('utf8').trim();
    if (isCommitId(found)) return found;
  } catch (error) {
    if (!(error instanceof GitExit)) throw error;
    throw new CoreError('SOURCE_NOT_FOUND', `${operation}: git ended with ${error.status}`, { cause: error });
  }
  throw new CoreError('SOURCE_NOT_FOUND', `${operation}: there is none`);
}

async function readGitTexts(
  objects: GitObjects,
  files: GitFiles,
  commit: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string> | undefined> {
  const root = await files.find(commit, path, { signal });
  if (root.status === 'no-commit') {
    throw new CoreError('SOURCE_NOT_FOUND', `read ${path}/ of official-images: there is no commit ${commit}`);
  }
  if (root.status !== 'directory') return undefined;
  const texts = new Map<string, string>();
  const found: (readonly [name: string, id: string])[] = [];
  const list = async (id: string, prefix: string, depth: number): Promise<void> => {
    for (const entry of (await files.list(id, { signal })) ?? []) {
      const name = `${prefix}${entry.name}`;
      if (entry.type === 'file') found.push([name, entry.id]);
      else if (entry.type === 'directory' && depth < 8) await list(entry.id, `${name}/`, depth + 1);
      if (found.length > MAX_FILES) throw tooMany(path);
    }
  };
  await list(root.id, '', 0);
  const ids = [...new Set(found.map(([, id]) => id))];
  const reading = new Map(ids.map((id) => [id, objects.read(id, { signal })]));
  await Promise.all(reading.values());
  for (const [name, id] of found) {
    const object = await reading.get(id);
    if (object === undefined)
      throw new CoreError('SOURCE_NOT_FOUND', `read ${path}/${name}: the mirror lacks the file`);
    texts.set(name, Buffer.from(object.content).toString('utf8'));
  }
  return texts;
}

async function readTexts(
  directory: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string> | undefined> {
  if ((await stat(directory).catch(() => undefined))?.isDirectory() !== true) return undefined;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
  if (names.length > MAX_FILES) throw tooMany(directory);
  const texts = new Map<string, string>();
  for (const name of names) {
    const path = join(directory, name);
    if ((await stat(path)).size > MAX_FILE_BYTES) {
      throw new CoreError('SOURCE_LIMIT_EXCEEDED', `read ${path}: it exceeds ${MAX_FILE_BYTES} bytes`);
    }
    texts.set(name, await readFile(path, { encoding: 'utf8', signal }));
  }
  return texts;
}

function tooMany(directory: string): CoreError {
  return new CoreError('SOURCE_LIMIT_EXCEEDED', `read ${directory}: it has more than ${MAX_FILES} files`);
}
