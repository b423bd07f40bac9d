import { createHash, createHmac, type Hash, type Hmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreError } from '../../errors.ts';
import { pruneFolder } from './prune-folder.ts';

/** Options of {@link AnswerCache}. */
export interface AnswerCacheOptions {
  /** Folder of its own; made when missing. Several processes may share it. */
  readonly directory: string;
  /** Most bytes kept; what was used longest ago goes first. @defaultValue 1073741824 */
  readonly maxBytes?: number;
  /**
   * Seals what is kept, so that who can write to the folder but does not know the secret can change nothing. Without it a
   * checksum finds damage, but not somebody who writes another checksum.
   */
  readonly secret?: string;
  /** Told of what was refused because it is damaged, and of what could not be written. @defaultValue nobody is told */
  readonly onProblem?: (problem: Error) => void;
}

/** An answer as it was given. */
export interface KeptAnswer {
  readonly status: number;
  /** Those that mean something later. */
  readonly headers: Readonly<Record<string, string>>;
  /** URL that answered, after redirects. */
  readonly url: string;
  /** RFC 3339 time it was given, or confirmed. */
  readonly storedAt: string;
  readonly body: Buffer;
}

/** An answer without its body. */
export type AnswerDescription = Omit<KeptAnswer, 'body'>;

/**
 * Answers kept in files, so that nothing is asked twice and an offline run has what an earlier one was told. A file is
 * written beside its place and moved there whole; it is checked whenever it is read, and refused when it is not what was written.
 *
 * It holds whatever the tokens of its users let them read.
 */
export class AnswerCache {
  readonly #options: AnswerCacheOptions;
  readonly #folder: { bytes: number | undefined };

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
    this.#folder = { bytes: undefined };
  }

  /** Returns what is kept under a key; undefined when nothing is, or it is damaged. */
  async get(key: string): Promise<KeptAnswer | undefined> {
    const opened = await this.#open(key);
    if (opened === undefined) return undefined;
    const { file, described, start, size } = opened;
    try {
      const body = Buffer.alloc(size);
      await file.read(body, 0, size, start);
      return { ...described, body };
    } finally {
      await file.close();
    }
  }

  /** As {@link get}, for what is not to be held in memory; it is checked before the first byte is handed over. */
  async stream(
    key: string,
  ): Promise<(AnswerDescription & { readonly body: AsyncIterable<Uint8Array> }) | undefined> {
    const opened = await this.#open(key);
    if (opened === undefined) return undefined;
    const { file, described, start, size } = opened;
    return { ...described, body: chunksOf(file, start, size) };
  }

  /** Keeps an answer, in the place of an older one. */
  async put(key: string, { body, ...described }: KeptAnswer): Promise<void> {
    const passed = this.pass(key, described, [body]);
    for await (const _ of passed); // kept once it was passed on whole
  }

  /** Passes a body on and keeps it once it has ended; one that breaks off, or that nobody reads to its end, is not kept. */
  async *pass(
    key: string,
    described: AnswerDescription,
    body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const writing = await this.#attempt(() => this.#begin(key, described));
    let failed = writing === undefined;
    try {
      for await (const chunk of body) {
        if (!failed) failed = (await this.#attempt(() => writing!.add(chunk))) === undefined;
        yield chunk;
      }
      if (!failed) await this.#attempt(() => writing!.finish());
    } finally {
      await this.#attempt(async () => writing?.discard());
    }
  }

  /** Keeps nothing under a key. */
  async remove(key: string): Promise<void> {
    await this.#attempt(() => rm(this.#placeOf(key), { force: true }));
  }

  async #begin(key: string, described: AnswerDescription) {
    const { directory, maxBytes = MAX_BYTES } = this.#options;
    const place = this.#placeOf(key);
    await mkdir(join(directory, 'new'), { recursive: true, mode: 0o700 });
    await mkdir(join(place, '..'), { recursive: true, mode: 0o700 });
    const path = join(directory, 'new', randomBytes(16).toString('hex'));
    const head = Buffer.from(`${JSON.stringify({ ...described, key })}\n`);
    const file = await open(path, 'wx', 0o600);
    const seal = this.#seal().update(head);
    let position = SEAL_BYTES;
    let open_ = true;
    const write = async (bytes: Uint8Array) => {
      await file.write(bytes, 0, bytes.byteLength, position);
      position += bytes.byteLength;
    };
    await write(head);
    return {
      add: async (chunk: Uint8Array): Promise<true> => {
        if (position + chunk.byteLength > maxBytes / 2) {
          throw new CoreError('SOURCE_LIMIT_EXCEEDED', `keep ${described.url}: it is too large to be kept`);
        }
        seal.update(chunk);
        await write(chunk);
        return true;
      },
      finish: async (): Promise<true> => {
        await file.write(Buffer.from(`${MARK}${seal.digest('hex')}\n`), 0, SEAL_BYTES, 0);
        open_ = false;
        await file.close();
        await rename(path, place);
        await this.#count(position);
        return true;
      },
      discard: async (): Promise<true> => {
        if (open_) await file.close();
        await rm(path, { force: true });
        return true;
      },
    };
  }

  /** Opens a file and checks the whole of it. */
  async #open(key: string) {
    const place = this.#placeOf(key);
    const file = await open(place, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (file === undefined) return undefined;
    try {
      const checked = await this.#check(file, key);
      if (checked !== undefined) {
        const now = new Date();
        await utimes(place, now, now).catch(() => {}); // gone again, or not ours: then it counts as older
        return { file, ...checked };
      }
      await file.close();
      await rm(place, { force: true });
      const damaged = new CoreError(
        'SOURCE_INVALID',
        `read ${key.slice(0, 200)}: what was kept of it is damaged`,
        {
          hint: 'It was removed, and is asked for again.',
          details: { path: place },
        },
      );
      this.#options.onProblem?.(damaged);
      return undefined;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #check(
    file: FileHandle,
    key: string,
  ): Promise<
    { readonly described: AnswerDescription; readonly start: number; readonly size: number } | undefined
  > {
    const { size } = await file.stat();
    const first = Buffer.alloc(Math.min(SEAL_BYTES + MAX_HEAD, size));
    await file.read(first, 0, first.byteLength, 0);
    const end = first.indexOf(10, SEAL_BYTES);
    if (end < 0) return undefined;
    const seal = this.#seal();
    for await (const chunk of chunksOf(file, SEAL_BYTES, size - SEAL_BYTES, false)) seal.update(chunk);
    const expected = Buffer.from(`${MARK}${seal.digest('hex')}\n`);
    const found = first.subarray(0, SEAL_BYTES);
    if (found.byteLength !== expected.byteLength || !timingSafeEqual(found, expected)) return undefined;
    const { key: named, ...described } = JSON.parse(first.subarray(SEAL_BYTES, end).toString('utf8'));
    return named === key ? { described, start: end + 1, size: size - end - 1 } : undefined;
  }

  #placeOf(key: string): string {
    const name = createHash('sha256').update(key).digest('hex');
    return join(this.#options.directory, name.slice(0, 2), name.slice(2));
  }

  #seal(): Hash | Hmac {
    const { secret } = this.#options;
    return secret === undefined ? createHash('sha256') : createHmac('sha256', secret);
  }

  async #count(bytes: number): Promise<void> {
    const { directory, maxBytes = MAX_BYTES } = this.#options;
    if (this.#folder.bytes !== undefined) this.#folder.bytes += bytes;
    // What others write is seen when the folder is looked through.
    if (this.#folder.bytes === undefined || this.#folder.bytes > maxBytes) {
      this.#folder.bytes = await pruneFolder(directory, maxBytes);
    }
  }

  /** A cache that cannot be written fails nobody's question. */
  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#options.onProblem?.(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  }
}

async function* chunksOf(
  file: FileHandle,
  start: number,
  size: number,
  close = true,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for (let position = start; position < start + size; ) {
      const chunk = Buffer.alloc(Math.min(64 * 1024, start + size - position));
      const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    if (close) await file.close();
  }
}

const MAX_BYTES = 1024 * 1024 * 1024;

/** Of the line that describes an answer. */
const MAX_HEAD = 64 * 1024;

const MARK = 'imagevet-answer/1 ';

const SEAL_BYTES = MARK.length + 64 + 1;
