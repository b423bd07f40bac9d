import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestHex, isDigest } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import type { FetchedMaterial } from './types.ts';

const INDEX = 'materials.jsonl';
/** Largest index that is read. */
const MAX_INDEX_BYTES = 256 * 1024 * 1024;

/** Something that was fetched, and the headers it is answered with. */
export interface KeptMaterial extends FetchedMaterial {
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * What builds fetched, in a folder: the bytes by digest in `sha256/`, and a line for each URL in `materials.jsonl`. Nothing is
 * under a digest that does not have it; a line that was cut off by a crash is passed over.
 */
export class MaterialStore {
  readonly #directory: string;
  readonly #known: Map<string, KeptMaterial>;
  /** Lines go one after another. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(directory: string, known: Map<string, KeptMaterial>) {
    this.#directory = directory;
    this.#known = known;
  }

  /** Opens a folder, and makes it where there is none. @throws {@link CoreError} `INVALID_OPTIONS` */
  static async open(directory: string): Promise<MaterialStore> {
    try {
      await mkdir(join(directory, 'sha256'), { recursive: true });
      return new MaterialStore(directory, await readIndex(join(directory, INDEX)));
    } catch (error) {
      if (error instanceof CoreError) throw error;
      throw new CoreError(
        'INVALID_OPTIONS',
        `${directory} cannot hold what builds fetch: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }

  find(url: string): KeptMaterial | undefined {
    return this.#known.get(url);
  }

  /** The bytes, after they were held against their digest. @throws Error when they are not there, or are others */
  async read({ digest }: KeptMaterial): Promise<AsyncIterable<Buffer>> {
    const path = this.#pathOf(digest);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    if (hash.digest('hex') !== digestHex(digest))
      throw new Error(`what is kept as ${digest} is something else`);
    return createReadStream(path);
  }

  /** Begins to keep an answer. */
  async begin(): Promise<MaterialWriter> {
    const path = join(this.#directory, `.part-${randomBytes(8).toString('hex')}`);
    const file = await open(path, 'wx');
    return {
      write: async (chunk) => {
        for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
      },
      keep: async (material) => {
        await file.sync();
        await file.close();
        await rename(path, this.#pathOf(material.digest));
        await this.#append(material);
      },
      discard: async () => {
        await file.close();
        await rm(path, { force: true });
      },
    };
  }

  #append(material: KeptMaterial): Promise<void> {
    this.#writing = this.#writing
      .catch(() => {})
      .then(async () => {
        const file = await open(join(this.#directory, INDEX), 'a');
        // A line of its own, whatever a crash left before it.
        await using(file, () => file.write(`\n${JSON.stringify(material)}\n`));
        this.#known.set(material.url, material);
      });
    return this.#writing;
  }

  #pathOf(digest: Digest): string {
    return join(this.#directory, 'sha256', digestHex(digest));
  }
}

/** An answer on its way into a {@link MaterialStore}. */
export interface MaterialWriter {
  write(chunk: Buffer): Promise<void>;
  /** Everything was written. */
  keep(material: KeptMaterial): Promise<void>;
  /** The answer broke off. */
  discard(): Promise<void>;
}

async function using(file: FileHandle, use: () => Promise<unknown>): Promise<void> {
  try {
    await use();
  } finally {
    await file.close();
  }
}

async function readIndex(path: string): Promise<Map<string, KeptMaterial>> {
  const known = new Map<string, KeptMaterial>();
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  if (bytes.length > MAX_INDEX_BYTES) {
    throw new CoreError('INVALID_OPTIONS', `${path} is larger than ${MAX_INDEX_BYTES} bytes`);
  }
  for (const line of bytes.toString('utf8').split('\n')) {
    const material = parsed(line);
    if (material !== undefined) known.set(material.url, material);
  }
  return known;
}

function parsed(line: string): KeptMaterial | undefined {
  try {
    const { url, digest, size, status, headers, movedTo } = Object(JSON.parse(line)) as Record<
      string,
      unknown
    >;
    if (typeof url !== 'string' || typeof digest !== 'string' || !isDigest(digest)) return undefined;
    if (!digest.startsWith('sha256:') || !Number.isSafeInteger(size) || status !== 200) return undefined;
    const texts = Object.entries(Object(headers)).flatMap(([name, value]) =>
      typeof value === 'string' && /^[\w-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value)
        ? [[name, value]]
        : [],
    );
    return {
      ...{ url, digest, status, size: size as number, headers: Object.fromEntries(texts) },
      ...(typeof movedTo === 'string' ? { movedTo } : {}),
    };
  } catch {
    return undefined;
  }
}
