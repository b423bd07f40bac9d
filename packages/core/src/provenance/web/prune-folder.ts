import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly usedAt: number;
}

/**
 * Removes the files of a folder of folders that were used longest ago, until a tenth of `maxBytes` is free again. Others may
 * read, write and remove files meanwhile.
 *
 * @returns bytes that are left
 */
export async function pruneFolder(directory: string, maxBytes: number): Promise<number> {
  const files = await listFiles(directory);
  let bytes = files.reduce((sum, { size }) => sum + size, 0);
  // What somebody was writing when they were stopped.
  const abandoned = Date.now() - ABANDONED_MS;
  const written = join(directory, 'new');
  for (const file of files.filter(({ path, usedAt }) => path.startsWith(written) && usedAt < abandoned)) {
    await rm(file.path, { force: true });
    bytes -= file.size;
  }
  if (bytes <= maxBytes) return bytes;
  const oldest = files
    .filter(({ path }) => !path.startsWith(written))
    .toSorted((left, right) => left.usedAt - right.usedAt);
  for (const file of oldest) {
    if (bytes <= maxBytes * 0.9) break;
    await rm(file.path, { force: true });
    bytes -= file.size;
  }
  return bytes;
}

const ABANDONED_MS = 60 * 60 * 1000;

async function listFiles(directory: string): Promise<readonly FoundFile[]> {
  const found: FoundFile[] = [];
  for (const folder of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    if (!folder.isDirectory()) continue;
    for (const name of await readdir(join(directory, folder.name)).catch(() => [])) {
      const path = join(directory, folder.name, name);
      const status = await stat(path).catch(() => undefined); // removed by somebody else
      if (status?.isFile() === true) found.push({ path, size: status.size, usedAt: status.mtimeMs });
    }
  }
  return found;
}
