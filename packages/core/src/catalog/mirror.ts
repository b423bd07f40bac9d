import { GitFiles } from '../provenance/hosts/git/git-files.ts';
import { type GitObject, GitObjects, type GitObjectsOptions } from '../provenance/hosts/git/git-objects.ts';

const KEPT_BYTES = 8 * 1024 * 1024;

/** A mirror whose git process can rest; what it read is kept over that. */
export class Mirror {
  readonly files: GitFiles = new GitFiles(this, KEPT_BYTES);
  /** Reads under way. */
  users = 0;
  readonly directory: string;
  readonly #options: GitObjectsOptions;
  #objects: GitObjects | undefined;

  constructor(directory: string, options: GitObjectsOptions) {
    this.directory = directory;
    this.#options = options;
  }

  /** See `GitObjects.read`. */
  async read(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<GitObject | undefined> {
    this.#objects ??= new GitObjects(this.directory, this.#options);
    return this.#objects.read(id, options);
  }

  /** Ends the git process; the next read starts another. */
  async rest(): Promise<void> {
    const objects = this.#objects;
    this.#objects = undefined;
    await objects?.close();
  }
}
