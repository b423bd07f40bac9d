import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until no other process fetches into a mirror, and keeps them from it. Whoever holds the lock shows every few seconds
 * that they live; a lock of somebody who was killed is taken over, and what git left of its own locks is removed.
 *
 * @returns what gives the lock back
 */
export async function lockMirror(directory: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  const path = `${directory}.lock`;
  const mark = randomBytes(16).toString('hex');
  while (!(await take(path, mark))) {
    await breakStale(path);
    await sleep(RETRY_MS, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
  const showing = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // somebody took us for dead
  }, SHOW_MS);
  showing.unref();
  await removeLeftovers(directory);
  return async () => {
    clearInterval(showing);
    if ((await readMark(path)) === mark) await rm(path, { force: true });
  };
}

async function take(path: string, mark: string): Promise<boolean> {
  try {
    await writeFile(path, mark, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function breakStale(path: string): Promise<void> {
  const mark = await readMark(path);
  const seen = await stat(path).catch(() => undefined);
  if (mark === undefined || seen === undefined || Date.now() - seen.mtimeMs < STALE_MS) return;
  const aside = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return; // somebody else was first
  }
  // Two may take the same lock for stale, and the second move what the first has made since.
  if ((await readMark(aside)) !== mark) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

function readMark(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** git that was killed leaves its locks, which no git after it goes past, and half of a pack. */
async function removeLeftovers(directory: string): Promise<void> {
  const below = async (folder: string, recursive: boolean) =>
    (await readdir(join(directory, folder), { recursive }).catch(() => [])).map((name) => join(folder, name));
  const names = [
    ...(await below('.', false)).filter((name) => name.endsWith('.lock')),
    ...(await below('refs', true)).filter((name) => name.endsWith('.lock')),
    ...(await below('objects', false)).filter((name) => /objects\/(?:incoming-|tmp_)/.test(name)),
    ...(await below('objects/pack', false)).filter((name) => /\/tmp_|\.lock$/.test(name)),
  ];
  for (const name of names) await rm(join(directory, name), { recursive: true, force: true });
}

const RETRY_MS = 100;
const SHOW_MS = 3_000;
const STALE_MS = 20_000;
