import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { RegistryError } from '../errors.ts';
import type { OperationOptions } from '../options.ts';

/**
 * Opens a regular file for reading; a symbolic link, device or pipe in its place is refused.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, `EGRESS_REFUSED`
 */
async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new RegistryError('NOT_FOUND', `${path} is not there`, {
        cause: error,
        hint: 'Check the path; as a location it ends at its first colon.',
      });
    if (code === 'ELOOP' || code === 'ENXIO') throw notRegular(path, error);
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notRegular(path);
}

/** Streams a regular file, or a part of it, in large pieces. An abort rejects with the signal's reason. */
export async function* streamFile(
  path: string,
  options: OperationOptions & { readonly start?: number; readonly end?: number } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { signal, start, end } = options;
  signal?.throwIfAborted();
  const file = await openFile(path);
  try {
    yield* file.createReadStream({
      highWaterMark: READ_BYTES,
      signal,
      ...(start === undefined ? {} : { start }),
      ...(end === undefined ? {} : { end }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

const READ_BYTES = 1024 * 1024;

/** Opens a regular file, hands it over, and closes it. */
export async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await openFile(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Reads a file of at most `maxBytes`. @throws {@link RegistryError} `LIMIT_EXCEEDED` */
export function readSmall(path: string, maxBytes: number): Promise<Uint8Array> {
  return withFile(path, async (file) => {
    const { size } = await file.stat();
    if (size <= maxBytes) return file.readFile();
    throw new RegistryError('LIMIT_EXCEEDED', `${path} has ${size} bytes, more than ${maxBytes}`);
  });
}

/** Refuses a folder that is a symbolic link. */
export async function checkFolder(path: string): Promise<void> {
  const state = await lstat(path).catch((error: unknown) => {
    throw new RegistryError('NOT_FOUND', `${path} is not there`, { cause: error });
  });
  if (!state.isDirectory()) throw notRegular(path);
}

function notRegular(path: string, cause?: unknown): RegistryError {
  return new RegistryError('EGRESS_REFUSED', `${path} is a link or no file: it may lead out of its folder`, {
    cause,
  });
}
