import { createHash } from 'node:crypto';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Names which objects a bare repository has, but for loose ones: the same text as long as its packs are the same.
 *
 * @returns undefined when that cannot be told: it borrows objects from another repository, or is laid out in another way
 */
export async function stateOfObjects(directory: string): Promise<string | undefined> {
  const objects = join(directory, 'objects');
  try {
    const [packs, info] = await Promise.all([
      readdir(join(objects, 'pack')),
      readdir(join(objects, 'info')).catch((): string[] => []),
    ]);
    if (info.includes('alternates')) return undefined;
    const names = packs.filter((name) => name.endsWith('.pack')).sort();
    return createHash('sha256').update(names.join('\n')).digest('hex');
  } catch {
    return undefined;
  }
}

/** Whether a bare repository has an object in a file of its own. */
export async function hasLooseObject(directory: string, id: string): Promise<boolean> {
  return access(join(directory, 'objects', id.slice(0, 2), id.slice(2))).then(
    () => true,
    () => false,
  );
}
