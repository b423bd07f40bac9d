import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure } from '../disk-failure.ts';
import { RegistryError } from '../errors.ts';
import { pause } from '../http/retry.ts';
import type { OperationOptions } from '../options.ts';

const NAME = '.index.lock';
/** Changing the index takes milliseconds: who holds it this long has died. */
const STALE_MS = 30_000;
const MAX_WAIT_MS = 120_000;
const POLL_MS = 10;

/**
 * Does some work while nobody else changes the index of a layout, in this process or another: each reads the index, adds
 * to it and writes it whole, so that of two at once one would be lost. A file says that somebody is at work.
 *
 * @throws {@link RegistryError} `UPLOAD_FAILED` when others never let go; `DISK_FAILED`; what the work ends with
 */
export async function withIndexLock<T>(
  directory: string,
  work: () => Promise<T>,
  { signal }: OperationOptions = {},
): Promise<T> {
  const path = join(directory, NAME);
  const mine = randomUUID();
  const until = Date.now() + MAX_WAIT_MS;
  while (!(await take(path, mine))) {
    await dropStale(path);
    if (Date.now() > until) {
      throw new RegistryError(
        'UPLOAD_FAILED',
        `${directory}: others have been changing its index all along`,
        {
          hint: `Remove ${path} if nobody is at work there.`,
        },
      );
    }
    await pause(POLL_MS * (0.5 + Math.random()), signal);
  }
  try {
    return await work();
  } finally {
    const held = await readFile(path, 'utf8').catch(() => '');
    if (held === mine) await rm(path, { force: true });
  }
}

async function take(path: string, mine: string): Promise<boolean> {
  try {
    await writeFile(path, mine, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw diskFailure(`locking ${path}`, error);
  }
}

/** Takes away what a writer that died has left; of several who want to, one moves it. */
async function dropStale(path: string): Promise<void> {
  const left = await stat(path).catch(() => undefined);
  if (left === undefined || Date.now() - left.mtimeMs < STALE_MS) return;
  const aside = `${path}-${randomUUID()}`;
  await rename(path, aside).catch(() => undefined);
  await rm(aside, { force: true });
}
