import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { CoreError } from '../../../errors.ts';

/** A file or link of an archive, the directory all its entries are under removed from the path. */
export interface ArchiveEntry {
  readonly path: string;
  /** Content, or the link's target. */
  readonly content: Uint8Array;
}

/**
 * Reads the wanted files of a gzipped tar archive, as it arrives.
 *
 * @throws {@link CoreError} `SOURCE_INVALID` for bytes that are no such archive, `SOURCE_LIMIT_EXCEEDED`
 */
export async function* readTarball(
  body: AsyncIterable<Uint8Array>,
  wanted: (path: string) => boolean,
  limits: { readonly maxBytes: number; readonly operation: string },
): AsyncGenerator<ArchiveEntry> {
  const archive = extract();
  let problem: unknown;
  const source = Readable.from(body).on('error', (error) => {
    problem = error;
  });
  const reading = pipeline(source, createGunzip(), archive).catch((error: unknown) => {
    problem ??= new CoreError('SOURCE_INVALID', `${limits.operation}: the archive is damaged`, {
      cause: error,
    });
  });
  let bytes = 0;
  try {
    for await (const entry of archive) {
      const { name, type, size = 0, linkname } = entry.header;
      bytes += size;
      if (bytes > limits.maxBytes) {
        throw new CoreError(
          'SOURCE_LIMIT_EXCEEDED',
          `${limits.operation}: more than ${limits.maxBytes} bytes`,
        );
      }
      const path = name.slice(name.indexOf('/') + 1);
      if (type === 'symlink' && wanted(path)) {
        yield { path, content: Buffer.from(linkname ?? '') };
      } else if (type === 'file' && wanted(path)) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of entry) chunks.push(chunk as Uint8Array);
        yield { path, content: Buffer.concat(chunks) };
        continue;
      }
      entry.resume();
    }
  } catch (error) {
    if (!(error instanceof CoreError)) await reading; // says what was wrong with the stream
    throw error instanceof CoreError ? error : (problem ?? error);
  } finally {
    archive.destroy();
    source.destroy();
    await reading;
  }
  if (problem !== undefined) throw problem;
}
