import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A file of a trust directory that is named after a key. */
export interface KeyFile {
  /** Canonical id. */
  readonly keyId: string;
  readonly path: string;
  /** What the path says of the key in the layout of before Notary 0.4; else the file's headers say it. */
  readonly role?: string;
  readonly gun?: string;
}

/** `<id>.key`; before Notary 0.4 also `<id>_<role>.key`. */
const NAME = /^([0-9a-f]{64})(?:_(.+))?\.key$/;

/**
 * Finds the key files below the `private` directory of docker and notary, by key id. Notary before 0.4 had root keys in
 * `root_keys` and the others in `tuf_keys/<collection>`; a newer docker or notary moves them when it starts, and where both
 * are there the one that was moved counts.
 */
export async function listKeyFiles(directory: string): Promise<Map<string, KeyFile>> {
  const files = new Map<string, KeyFile>();
  const add = (file: KeyFile): void => {
    if (!files.has(file.keyId)) files.set(file.keyId, file);
  };
  for (const { name } of await entriesOf(directory)) {
    const keyId = /^([0-9a-f]{64})\.key$/.exec(name)?.[1];
    if (keyId !== undefined) add({ keyId, path: join(directory, name) });
  }
  for (const file of await earlierKeyFiles(directory)) add(file);
  return files;
}

/** The files of one key, wherever they are. */
export async function keyFilesOf(directory: string, keyId: string): Promise<KeyFile[]> {
  const earlier = await earlierKeyFiles(directory);
  return [
    { keyId, path: join(directory, `${keyId}.key`) },
    ...earlier.filter((file) => file.keyId === keyId),
  ];
}

async function earlierKeyFiles(directory: string): Promise<KeyFile[]> {
  const found: KeyFile[] = [];
  for (const top of ['root_keys', 'tuf_keys']) {
    for (const { name, below } of await entriesOf(join(directory, top), true)) {
      const [, keyId, role = top === 'root_keys' ? 'root' : undefined] = NAME.exec(name) ?? [];
      if (keyId === undefined) continue;
      const gun = below.join('/');
      found.push({
        keyId,
        path: join(directory, top, ...below, name),
        ...(role === undefined ? {} : { role }),
        ...(gun === '' ? {} : { gun }),
      });
    }
  }
  return found;
}

async function entriesOf(
  directory: string,
  recursive = false,
  below: readonly string[] = [],
): Promise<{ name: string; below: readonly string[] }[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  });
  const found: { name: string; below: readonly string[] }[] = [];
  for (const entry of entries) {
    const { name } = entry;
    if (recursive && entry.isDirectory()) {
      found.push(...(await entriesOf(join(directory, name), true, [...below, name])));
    } else {
      found.push({ name, below });
    }
  }
  return found;
}
