import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateLayer } from '../layer/inflate-layer.ts';
import { streamFile, withFile } from '../layout/files.ts';
import { writeWhole } from '../layout/write-file.ts';
import type { OperationOptions } from '../options.ts';

/** Options of {@link openDockerArchive}. */
export interface OpenArchiveOptions extends OperationOptions {
  /** Where a compressed archive is inflated to. @defaultValue the system's */
  readonly temporaryDirectory?: string;
}

/** An archive as a plain tar, which `close` may remove again. */
export interface PlainArchive {
  readonly path: string;
  close(): Promise<void>;
}

/**
 * Inflates an archive in gzip or zstd into a temporary file, as its files are read out of order; a plain one stays where
 * it is.
 *
 * @throws {@link RegistryError} `INVALID_LAYER` when it does not inflate, `LIMIT_EXCEEDED` when it does too well.
 */
export async function inflateArchive(path: string, options: OpenArchiveOptions): Promise<PlainArchive> {
  const magic = await withFile(path, async (file) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.subarray(0, bytesRead).toString('hex');
  });
  if (!magic.startsWith('1f8b') && magic !== '28b52ffd') return { path, close: async () => {} };
  const directory = await mkdtemp(join(options.temporaryDirectory ?? tmpdir(), 'imagevet-archive-'));
  const close = () => rm(directory, { recursive: true, force: true });
  try {
    const plain = join(directory, 'archive.tar');
    const chunks = inflateLayer(streamFile(path, { signal: options.signal }));
    await writeWhole(plain, chunks, { directory, signal: options.signal });
    return { path: plain, close };
  } catch (error) {
    await close();
    throw error;
  }
}
