import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResolvedImage } from '../content/image.ts';
import type { Fetcher } from '../content/interfaces.ts';
import { isDirectory, mergeTree, walkTree } from '../layer/filesystem-view.ts';
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from '../layer/limits.ts';
import { END_OF_ARCHIVE, encodeEntry, padding } from '../layer/tar-writer.ts';
import type { LayerEntry } from '../layer/types.ts';
import { streamFile } from '../layout/files.ts';
import type { OperationOptions } from '../options.ts';
import { ContentSpool } from './content-spool.ts';
import { layersOf, readLayers } from './read-layers.ts';

/** Where the layers come from, and where to keep their content meanwhile. */
export interface ExportRootfsOptions extends OperationOptions {
  readonly source: Pick<Fetcher, 'openBlob'>;
  /** A folder of its own is made in it, and removed. @defaultValue the system's */
  readonly temporaryDirectory?: string;
  /** Bounds; `maxUncompressedBytes` and `maxEntries` also bound all layers together. */
  readonly limits?: Partial<LayerLimits>;
}

/**
 * Streams the merged filesystem of an image as one tar archive, as `docker export` would: owners, modes, devices and
 * extended attributes as stored, parents before children, names in code unit order. The same image gives the same bytes,
 * whatever its layers' compression. Hardlinks to nothing are left out.
 *
 * @throws {@link RegistryError} whatever {@link scanImage} throws, before the first byte.
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export async function* exportRootfs(
  image: ResolvedImage,
  options: ExportRootfsOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { source, signal, temporaryDirectory = tmpdir() } = options;
  const limits: LayerLimits = { ...DEFAULT_LAYER_LIMITS, ...options.limits };
  signal?.throwIfAborted();
  const folder = await mkdtemp(join(temporaryDirectory, 'imagevet-export-'));
  const spool = new ContentSpool(folder);
  try {
    const scans = await readLayers(layersOf(image, source, signal), spool, limits, signal);
    const { root } = mergeTree(scans, limits.maxEntries);
    const first = new Map<LayerEntry, string>();
    for (const [path, node] of walkTree(root)) {
      signal?.throwIfAborted();
      const entry = node.entry ?? { ...IMPLIED, path };
      if (entry.type === 'hardlink') continue;
      const content = node.content ?? entry;
      const shared = isDirectory(node) ? undefined : first.get(content);
      if (shared !== undefined) {
        yield encodeEntry({ ...entry, path, type: 'hardlink', size: 0, linkTarget: shared });
        continue;
      }
      first.set(content, path);
      yield encodeEntry({ ...entry, path });
      if (entry.type !== 'file' || entry.size === 0) continue;
      yield* streamFile(await spool.pathOf(content), { signal });
      yield padding(entry.size);
    }
    yield END_OF_ARCHIVE;
  } finally {
    await spool.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A directory no layer lists. */
const IMPLIED: Omit<LayerEntry, 'path'> = {
  type: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
};
