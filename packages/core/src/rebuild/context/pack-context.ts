import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { CoreError } from '../../errors.ts';
import type { SourceEntry } from '../../lineage/types.ts';
import { parseDockerignore } from './dockerignore.ts';

/** The Dockerfile to build, which is not the one of the repository. */
interface PackedDockerfile {
  readonly text: string;
  /** Where the repository's own lies inside the context. */
  readonly path?: string;
  readonly backend: 'classic' | 'buildkit' | 'podman';
}

/**
 * Packs a context and a Dockerfile as a deterministic tar: sorted, owned by root, without times, directories 0755.
 *
 * `COPY . .` should copy what the repository holds, so the Dockerfile goes under another name, which the `.dockerignore` has the
 * engine take away again: a name its rules leave out already, or one that is added to them. BuildKit takes nothing away from a
 * tar: there the Dockerfile replaces the repository's, and `chooseBackend` refuses where it would be one file more.
 *
 * @returns the tar, and the name of the Dockerfile in it
 * @throws {@link CoreError} `BUILD_UNSUPPORTED` for a symbolic link that leaves the context, which Podman does not accept
 */
export function packContext(
  context: readonly SourceEntry[],
  dockerfile: PackedDockerfile,
): { readonly tar: Readable; readonly name: string } {
  const { name, added } = placeDockerfile(context, dockerfile);
  if (dockerfile.backend === 'podman') refuseLeavingLinks(context);
  const replaced = new Set(added.map(({ path }) => path));
  const files = [...context.filter(({ path }) => !replaced.has(path)), ...added];
  return { tar: packEntries(files), name };
}

function placeDockerfile(
  context: readonly SourceEntry[],
  { text, path, backend }: PackedDockerfile,
): { readonly name: string; readonly added: readonly SourceEntry[] } {
  const file = (name: string, content: string): SourceEntry => ({
    path: name,
    type: 'file',
    content: Buffer.from(content),
  });
  const hidden = `.imagevet-${hash('sha256', text).slice(0, 20)}.Dockerfile`;
  if (backend === 'buildkit') {
    const own = context.find((entry) => entry.path === path && entry.type !== 'symlink');
    const name = own?.path ?? hidden;
    return { name, added: [{ ...file(name, text), type: own?.type ?? 'file' }] };
  }
  const rules = context.find((entry) => entry.path === '.dockerignore' && entry.type !== 'symlink');
  const ignored = rules === undefined ? undefined : ignoredName(context, rules);
  if (ignored !== undefined) return { name: ignored, added: [file(ignored, text)] };
  // Without rules of its own, the file that hides the Dockerfile hides itself too.
  const kept = rules === undefined ? '.dockerignore' : Buffer.from(rules.content).toString('utf8');
  return { name: hidden, added: [file(hidden, text), file('.dockerignore', `${kept}\n${hidden}\n`)] };
}

/** A name at the top of the context that its own rules leave out, so that they need no other line. */
function ignoredName(context: readonly SourceEntry[], rules: SourceEntry): string | undefined {
  const text = Buffer.from(rules.content).toString('utf8');
  const { ignores } = parseDockerignore(text);
  const taken = new Set(context.map(({ path }) => path.split('/', 1)[0]));
  return text
    .split('\n')
    .map((line) => line.trim().replaceAll(/\*+\//g, '').replaceAll(/\*+/g, 'imagevet').replaceAll('?', 'v'))
    .map((line) => line.replace(/^\.?\//, '').replace(/\/$/, ''))
    .find((name) => /^[\w.-]+$/.test(name) && !/^\.+$/.test(name) && !taken.has(name) && ignores(name));
}

/** Packs files as they are: sorted, owned by root, without times, directories 0755; a submodule as an empty directory. */
export function packEntries(files: readonly SourceEntry[]): Readable {
  const archive = pack();
  const common = { uid: 0, gid: 0, mtime: new Date(0) };
  // A tar without any entry is none to BuildKit.
  const directories = files.length === 0 ? ['.'] : directoriesOf(files);
  for (const name of directories) archive.entry({ ...common, name, type: 'directory', mode: 0o755 });
  for (const { path: name, type, content } of files.toSorted(byPath)) {
    if (type === 'symlink') {
      const linkname = Buffer.from(content).toString('utf8');
      archive.entry({ ...common, name, type: 'symlink', linkname, mode: 0o777 });
    } else if (type === 'submodule') {
      archive.entry({ ...common, name, type: 'directory', mode: 0o755 });
    } else {
      const mode = type === 'executable' ? 0o755 : 0o644;
      archive.entry(
        { ...common, name, type: 'file', mode },
        Buffer.from(content.buffer, content.byteOffset, content.byteLength),
      );
    }
  }
  archive.finalize();
  return Readable.from(archive);
}

/** Every directory above a file, parents first. The mode of one a tar does not name would be the engine's to choose. */
function directoriesOf(files: readonly SourceEntry[]): readonly string[] {
  const directories = new Set<string>();
  for (const { path } of files) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1))
      directories.add(path.slice(0, at));
  }
  return [...directories].sort();
}

function byPath(left: SourceEntry, right: SourceEntry): number {
  return left.path < right.path ? -1 : 1;
}

function refuseLeavingLinks(context: readonly SourceEntry[]): void {
  for (const { path, type, content } of context) {
    if (type !== 'symlink') continue;
    const target = posix.join(posix.dirname(path), Buffer.from(content).toString('utf8'));
    if (!target.startsWith('../') && target !== '..') continue;
    throw new CoreError(
      'BUILD_UNSUPPORTED',
      `Podman does not accept ${path}, a symbolic link that leaves the context`,
      {
        hint: 'Build it on a Docker Engine.',
      },
    );
  }
}
