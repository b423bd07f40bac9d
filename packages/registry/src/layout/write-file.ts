import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure } from '../disk-failure.ts';
import type { OperationOptions } from '../options.ts';

/** How the files begin that {@link writeWhole} has not finished; what a crash leaves behind. */
export const PARTIAL_PREFIX = '.partial-';
/** Small chunks are written together: a call to the disk costs more than holding them. */
const WRITE_BYTES = 1024 * 1024;

/**
 * Writes a file in `directory` and moves it to its place at the end, so that what is there is always whole. While one
 * piece is being written the next is read. A failure or an abort leaves nothing behind.
 *
 * @throws {@link RegistryError} `DISK_FAILED`, and what the chunks end with
 * @param chunks - each is kept until it is written, so it must not be reused
 */
export async function writeWhole(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: OperationOptions & {
    /** On the file system of `path`. */
    readonly directory: string;
    /** Called with each chunk when it is written and of no more use here. */
    readonly release?: ((chunk: Uint8Array) => void) | undefined;
  },
): Promise<void> {
  const { signal, directory, release } = options;
  const partial = join(directory, `${PARTIAL_PREFIX}${randomUUID()}`);
  const file = await open(partial, 'wx', 0o644).catch((error: unknown) => {
    throw diskFailure(`writing ${path}`, error);
  });
  try {
    let writing = Promise.resolve();
    for await (const piece of gathered(chunks)) {
      signal?.throwIfAborted();
      await writing;
      writing = writeAll(file, piece, release);
      // It surfaces at the next await; until then it is nobody's.
      writing.catch(() => {});
    }
    await writing;
    signal?.throwIfAborted();
    await file.close();
    await rename(partial, path);
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw diskFailure(`writing ${path}`, error);
  }
}

/** Gathers chunks until there is enough for one write. */
async function* gathered(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    held.push(chunk);
    size += chunk.byteLength;
    if (size < WRITE_BYTES) continue;
    yield held;
    held = [];
    size = 0;
  }
  if (size > 0) yield held;
}

async function writeAll(
  file: FileHandle,
  chunks: readonly Uint8Array[],
  release: ((chunk: Uint8Array) => void) | undefined,
): Promise<void> {
  const size = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const { bytesWritten } = await file.writev(chunks);
  // The disk may take less than it was given.
  if (bytesWritten < size) await file.writeFile(Buffer.concat(chunks).subarray(bytesWritten));
  if (release !== undefined) chunks.forEach(release);
}
