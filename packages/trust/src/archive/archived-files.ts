import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { TrustError } from '../errors.ts';
import { readBytesIfPresent, writeDurably } from '../storage/durable-file.ts';
import { type ArchivedFile, filePath, type TrustArchive } from './format.ts';

/** The files of an archive as it grows. */
export class ArchivedFiles {
  readonly #directory: string;
  readonly #files = new Map<string, ArchivedFile>();

  /**
   * @param former - What the directory holds already.
   * @throws {@link TrustError} `INVALID_OPTIONS` when that is of another collection
   */
  constructor(directory: string, collection: string, former: TrustArchive | undefined) {
    this.#directory = directory;
    if (former !== undefined && former.collection !== collection)
      throw this.#occupied(`an archive of ${former.collection}`);
    for (const file of former?.files ?? []) this.#files.set(key(file), { ...file, current: false });
  }

  /**
   * Adds one version of a role; writes it unless it is there.
   *
   * @throws {@link TrustError} `INVALID_OPTIONS` when the archive has another file of this version
   */
  async add(role: string, version: number, bytes: Uint8Array, current: boolean): Promise<void> {
    const path = filePath(role, version);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const known = this.#files.get(key({ role, version }));
    if (known !== undefined && known.sha256 !== sha256)
      throw this.#occupied(`another ${role} of version ${version}`);
    const absolute = join(this.#directory, path);
    // Also a file that was damaged since is written again.
    const isThere = known !== undefined && (await readBytesIfPresent(absolute))?.equals(bytes) === true;
    if (!isThere) await writeDurably(absolute, bytes);
    this.#files.set(key({ role, version }), { role, version, sha256, current, path });
  }

  /** All of them, in the order they came. */
  list(): ArchivedFile[] {
    return [...this.#files.values()];
  }

  #occupied(what: string): TrustError {
    return new TrustError('INVALID_OPTIONS', `archive: the directory holds ${what}`, {
      details: { directory: this.#directory },
      hint: 'The collection may have been deleted and set up anew. Archive into a directory of its own; nothing was overwritten.',
    });
  }
}

function key({ role, version }: { readonly role: string; readonly version: number }): string {
  return `${version} ${role}`;
}
