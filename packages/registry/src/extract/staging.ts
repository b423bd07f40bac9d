import { chmod, lstat, mkdtemp, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { diskFailure } from '../disk-failure.ts';
import { RegistryError } from '../errors.ts';

/**
 * Fills a directory all or nothing: `fill` works in a folder beside it that only this user can enter, whose `root`
 * becomes the directory when all is done. Whatever fails, nothing of it stays behind.
 *
 * @throws {@link RegistryError} `NOT_FOUND` when the parent is missing, `ALREADY_EXISTS` when the directory holds
 * something and `overwrite` is false, `EGRESS_REFUSED` when it is a link or a file, `DISK_FAILED`.
 */
export async function stage<T>(
  directory: string,
  overwrite: boolean,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const wanted = resolve(directory);
  const parent = await realpath(dirname(wanted)).catch((error: unknown) => {
    throw new RegistryError('NOT_FOUND', `${dirname(wanted)} is not there`, { cause: error });
  });
  const target = join(parent, basename(wanted));
  await checkTarget(target, overwrite);
  const folder = await mkdtemp(join(parent, '.imagevet-')).catch((error: unknown) => {
    throw diskFailure(`filling ${target}`, error);
  });
  try {
    const result = await fill(folder);
    await checkTarget(target, overwrite);
    await publish(folder, target, overwrite);
    return result;
  } catch (error) {
    throw diskFailure(`filling ${target}`, error);
  } finally {
    await remove(folder);
  }
}

/** The name, inside the folder, of what becomes the directory. */
export const ROOT = 'root';

async function checkTarget(target: string, overwrite: boolean): Promise<void> {
  const state = await lstat(target).catch(absent);
  if (state === undefined) return;
  if (!state.isDirectory()) {
    throw new RegistryError('EGRESS_REFUSED', `${target} is a link or no directory: it may lead elsewhere`);
  }
  if (!overwrite && (await readdir(target)).length > 0) throw notEmpty(target);
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

async function publish(folder: string, target: string, overwrite: boolean): Promise<void> {
  const old = join(folder, 'old');
  const moved = overwrite && (await rename(target, old).then(() => true, absent));
  try {
    // Takes the place of an empty directory, and of nothing else.
    await rename(join(folder, ROOT), target);
  } catch (error) {
    if (moved) await rename(old, target);
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ENOTEMPTY' || code === 'EEXIST' ? notEmpty(target, error) : error;
  }
}

/** Removes a folder even where modes of an image forbid it. */
async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(async () => {
    await unlock(Buffer.from(folder));
    await rm(folder, { recursive: true, force: true });
  });
}

async function unlock(folder: Buffer): Promise<void> {
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) await unlock(Buffer.concat([folder, Buffer.from('/'), entry.name]));
  }
}

function notEmpty(target: string, cause?: unknown): RegistryError {
  return new RegistryError('ALREADY_EXISTS', `${target} is not empty`, {
    cause,
    hint: 'Give another directory, or set `overwrite` to replace it with everything in it.',
  });
}
