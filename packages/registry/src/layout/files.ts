import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { RegistryError } from '../errors.ts';

/**
 * Opens a regular file for reading; a symbolic link, device or pipe in its place is refused.
 *
 * @throws {@link RegistryError} `NOT_FOUND`, `EGRESS_REFUSED`
 */
export async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new RegistryError('NOT_FOUND', `${path} is not there`, { cause: error });
    if (code === 'ELOOP' || code === 'ENXIO') throw notRegular(path, error);
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notRegular(path);
}

/** Reads a file of at most `maxBytes`. @throws {@link RegistryError} `LIMIT_EXCEEDED` */
export async function readSmall(path: string, maxBytes: number): Promise<Uint8Array> {
  await using file = await openFile(path);
  const { size } = await file.stat();
  if (size > maxBytes)
    throw new RegistryError('LIMIT_EXCEEDED', `${path} has ${size} bytes, more than ${maxBytes}`);
  return file.readFile();
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
