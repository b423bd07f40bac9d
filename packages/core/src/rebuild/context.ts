import dockerignore from '@balena/dockerignore';
import type { OperationOptions } from '@imagevet/registry';
import { pack } from 'tar-stream';
import { CoreError } from '../errors.ts';
import type { SourceEntry, SourceHost, SourceLocation } from '../lineage/types.ts';

/** Files of one context. */
const MAX_ENTRIES = 100_000;
/** Bytes of one context: 2 GiB. */
const MAX_BYTES = 2 * 1024 * 1024 * 1024;
const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1';

/**
 * Reads the build context of a step: the directory at the commit, less what its `.dockerignore` names. No engine applies
 * that file to a context sent as a tar, so it is applied here.
 *
 * @throws {@link CoreError} `SOURCE_UNSUPPORTED` for a submodule or a Git LFS pointer, whose content the repository does not
 * hold; `SOURCE_LIMIT_EXCEEDED`; whatever the host throws.
 */
export async function readContext(
  host: SourceHost,
  location: SourceLocation,
  options: OperationOptions = {},
): Promise<readonly SourceEntry[]> {
  const entries: SourceEntry[] = [];
  let bytes = 0;
  const { repository, commit, directory } = location;
  for await (const entry of host.readDirectory(repository, commit, directory, options)) {
    entries.push(entry);
    bytes += entry.content.byteLength;
    if (entries.length > MAX_ENTRIES || bytes > MAX_BYTES) {
      throw new CoreError(
        'SOURCE_LIMIT_EXCEEDED',
        `the build context ${directory} of ${repository} is too large`,
      );
    }
  }
  const wanted = withoutIgnored(entries);
  for (const entry of wanted) refuseForeign(entry, location);
  return wanted;
}

/** The context and the Dockerfile as one deterministic tar: sorted, owned by root, without times. */
export async function packContext(
  context: readonly SourceEntry[],
  dockerfile: { readonly name: string; readonly text: string },
): Promise<Uint8Array> {
  const archive = pack();
  const file: SourceEntry = { path: dockerfile.name, type: 'file', content: Buffer.from(dockerfile.text) };
  const entries = [...context.filter(({ path }) => path !== file.path), file].sort((left, right) =>
    left.path < right.path ? -1 : 1,
  );
  for (const { path, type, content } of entries) {
    const common = { name: path, uid: 0, gid: 0, mtime: new Date(0) };
    if (type === 'symlink') {
      archive.entry({
        ...common,
        type: 'symlink',
        linkname: Buffer.from(content).toString('utf8'),
        mode: 0o777,
      });
    } else {
      archive.entry(
        { ...common, type: 'file', mode: type === 'executable' ? 0o755 : 0o644 },
        Buffer.from(content),
      );
    }
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

function withoutIgnored(entries: readonly SourceEntry[]): readonly SourceEntry[] {
  const rules = entries.find(({ path, type }) => path === '.dockerignore' && type !== 'symlink');
  if (rules === undefined) return entries;
  const filter = dockerignore.default().add(Buffer.from(rules.content).toString('utf8'));
  return entries.filter(({ path }) => path === '.dockerignore' || !filter.ignores(path));
}

function refuseForeign(entry: SourceEntry, location: SourceLocation): void {
  const pointer =
    entry.type === 'file' &&
    entry.content.byteLength < 1024 &&
    Buffer.from(entry.content).toString('latin1').startsWith(LFS_POINTER);
  if (entry.type !== 'submodule' && !pointer) return;
  const what = pointer ? 'a Git LFS pointer' : 'a submodule';
  throw new CoreError('SOURCE_UNSUPPORTED', `${entry.path} of ${location.repository} is ${what}`, {
    hint: 'Its content is not in the repository at that commit, so the image cannot be rebuilt from it.',
  });
}
