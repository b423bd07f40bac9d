import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { RegistryError } from '../errors.ts';
import { streamFile } from '../layout/files.ts';
import type { OperationOptions } from '../options.ts';

/** Where a file's bytes are in an archive. */
export interface TarPlace {
  readonly offset: number;
  readonly size: number;
}

/** The files of an archive by normal path. */
export type TarIndex = ReadonlyMap<string, TarPlace>;

const MAX_ENTRIES = 100_000;
const MAX_LINKS = 8;

/**
 * Reads where an uncompressed tar keeps its files, in one pass, without keeping their bytes. Links are followed inside
 * the archive only.
 *
 * @throws {@link RegistryError} `INVALID_LAYER` for bytes that are no tar, `LIMIT_EXCEEDED`; `AMBIGUOUS_MANIFEST` when a
 * name is there twice, since some tools read the first and some the last.
 */
export async function indexTar(path: string, options: OperationOptions = {}): Promise<TarIndex> {
  const places = new Map<string, TarPlace>();
  const links = new Map<string, string>();
  let entries = 0;
  const parser = extract();
  const stream = Readable.from(streamFile(path, { signal: options.signal }));
  stream.on('error', (error) => parser.destroy(error));
  parser.on('close', () => stream.destroy());
  stream.pipe(parser);
  try {
    for await (const entry of parser) {
      entries += 1;
      if (entries > MAX_ENTRIES) {
        throw new RegistryError('LIMIT_EXCEEDED', `${path}: more than ${MAX_ENTRIES} entries`);
      }
      const {
        name,
        type,
        size = 0,
        linkname,
        byteOffset,
      } = entry.header as Header & { readonly byteOffset: number };
      const normal = posix.normalize(name).replace(/^\/+/, '');
      const isContent = type !== 'directory' && type !== null;
      if (isContent && (places.has(normal) || links.has(normal))) throw twice(path, normal);
      if (type === 'file' || type === 'contiguous-file') places.set(normal, { offset: byteOffset, size });
      if (type === 'link' && linkname) links.set(normal, posix.normalize(linkname));
      if (type === 'symlink' && linkname) links.set(normal, posix.join(posix.dirname(normal), linkname));
      entry.resume();
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof RegistryError) throw error;
    throw new RegistryError('INVALID_LAYER', `${path} is not a readable tar`, { cause: error });
  }
  for (const name of links.keys()) {
    const place = followed(name, links, places);
    if (place !== undefined) places.set(name, place);
  }
  return places;
}

function twice(path: string, name: string): RegistryError {
  const shown = JSON.stringify(name.slice(0, 160));
  return new RegistryError('AMBIGUOUS_MANIFEST', `${path} holds ${shown} twice`, {
    hint: 'Do not trust this archive: different tools would load different content.',
  });
}

function followed(
  name: string,
  links: ReadonlyMap<string, string>,
  places: ReadonlyMap<string, TarPlace>,
): TarPlace | undefined {
  let target: string | undefined = name;
  for (let hop = 0; hop < MAX_LINKS && target !== undefined; hop += 1) {
    const place = places.get(target);
    if (place !== undefined) return place;
    target = links.get(target);
  }
  return undefined;
}
