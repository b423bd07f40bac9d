import { type Digest, digestAlgorithm, digestHex } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { streamFile } from '../layout/files.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import { inflateArchive, type OpenArchiveOptions, type PlainArchive } from './inflate-archive.ts';
import { indexTar, type TarIndex, type TarPlace } from './tar-index.ts';

/** The files of an archive, read where they are. */
export class ArchiveFiles {
  /** What the caller named, for messages. */
  readonly path: string;
  readonly #plain: PlainArchive;
  readonly #places: TarIndex;

  private constructor(path: string, plain: PlainArchive, places: TarIndex) {
    this.path = path;
    this.#plain = plain;
    this.#places = places;
  }

  static async open(path: string, options: OpenArchiveOptions): Promise<ArchiveFiles> {
    const plain = await inflateArchive(path, options);
    try {
      return new ArchiveFiles(path, plain, await indexTar(plain.path, options));
    } catch (error) {
      await plain.close();
      throw error;
    }
  }

  /** Removes the temporary file of a compressed archive. */
  close(): Promise<void> {
    return this.#plain.close();
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** @throws {@link RegistryError} `INVALID_LAYER` when the archive has no such file */
  placeOf(name: string): TarPlace {
    const place = this.#places.get(name);
    if (place !== undefined) return place;
    throw new RegistryError(
      'INVALID_LAYER',
      `${this.path} does not hold ${JSON.stringify(name.slice(0, 160))}`,
    );
  }

  /** Where an OCI layout in the archive keeps a blob. */
  placeOfBlob(digest: Digest): TarPlace | undefined {
    return this.#places.get(blobPath(digest));
  }

  async *stream(
    { offset, size }: TarPlace,
    { signal }: OperationOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (size > 0) yield* streamFile(this.#plain.path, { signal, start: offset, end: offset + size - 1 });
  }

  /** @throws {@link RegistryError} `LIMIT_EXCEEDED` */
  async read(place: TarPlace, maxBytes: number, options: OperationOptions = {}): Promise<Uint8Array> {
    if (place.size > maxBytes) {
      throw new RegistryError('LIMIT_EXCEEDED', `${this.path}: ${place.size} bytes, more than ${maxBytes}`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.stream(place, options)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /**
   * Reads a JSON array; every parser sees the same in it.
   *
   * @throws {@link RegistryError} `INVALID_MANIFEST`
   */
  async readList(name: string, maxBytes: number, options: OperationOptions): Promise<readonly unknown[]> {
    const bytes = await this.read(this.placeOf(name), maxBytes, options);
    const wrapped = Buffer.concat([Buffer.from('{"list":'), bytes, Buffer.from('}')]);
    const { list, ...more } = parseStrictJson(wrapped, `${name} of ${this.path}`, 'INVALID_MANIFEST');
    if (Array.isArray(list) && Object.keys(more).length === 0) return list;
    throw new RegistryError('INVALID_MANIFEST', `${this.path}: ${name} is not a list of images`);
  }
}

/** Where an OCI layout keeps a blob. */
export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}
