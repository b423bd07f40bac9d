import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { ContentSink } from '../layer/layer-reader.ts';
import type { LayerEntry } from '../layer/types.ts';

/** Files open at once. */
const CONCURRENCY = 16;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Keeps the content of files under numbers, so that no name of an image is used while bytes arrive. */
export class ContentSpool implements ContentSink {
  readonly #folder: string;
  readonly #paths: Map<LayerEntry, string> = new Map();
  #pieces: { readonly file: LayerEntry; readonly bytes: Uint8Array }[] = [];
  /** The file whose content goes on in the next part of the layer. */
  #open: { readonly handle: FileHandle; remaining: number } | undefined;

  /** @param folder - An empty one of our own. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  write(file: LayerEntry, bytes: Uint8Array): void {
    this.#pieces.push({ file, bytes });
  }

  async drain(): Promise<void> {
    const pieces = this.#pieces;
    this.#pieces = [];
    const limit = pLimit(CONCURRENCY);
    const whole: Promise<void>[] = [];
    try {
      for (const { file, bytes } of pieces) {
        if (bytes.byteLength === file.size) whole.push(limit(() => this.#writeWhole(file, bytes)));
        else await this.#writePart(file, bytes);
      }
    } finally {
      const settled = await Promise.allSettled(whole);
      const failed = settled.find((result) => result.status === 'rejected');
      // biome-ignore lint/correctness/noUnsafeFinally: the first failure is as good as another.
      if (failed !== undefined) throw failed.reason;
    }
  }

  /** Where the content of a file is; empty files are made here. */
  async pathOf(file: LayerEntry): Promise<string> {
    if (file.size === 0 && !this.#paths.has(file)) await this.#writeWhole(file, Buffer.alloc(0));
    return this.#paths.get(file)!;
  }

  async close(): Promise<void> {
    await this.#open?.handle.close();
    this.#open = undefined;
  }

  async #writeWhole(file: LayerEntry, bytes: Uint8Array): Promise<void> {
    const handle = await this.#create(file);
    try {
      await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
  }

  async #writePart(file: LayerEntry, bytes: Uint8Array): Promise<void> {
    this.#open ??= { handle: await this.#create(file), remaining: file.size };
    await this.#open.handle.writeFile(bytes);
    this.#open.remaining -= bytes.byteLength;
    if (this.#open.remaining === 0) await this.close();
  }

  #create(file: LayerEntry): Promise<FileHandle> {
    const path = join(this.#folder, String(this.#paths.size));
    this.#paths.set(file, path);
    return open(path, CREATE, 0o600);
  }
}
