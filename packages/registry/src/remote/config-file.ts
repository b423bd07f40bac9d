import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RegistryError } from '../errors.ts';
import { isObject, type JsonObject } from '../oci/strict-json.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_FILES = 4096;

/** Reads a TOML file; undefined when it is not there. @throws {@link RegistryError} `INVALID_HOSTS_FILE` */
export async function readToml(path: string): Promise<TomlTable | undefined> {
  const bytes = await readConfigFile(path);
  if (bytes === undefined) return undefined;
  const { parse } = await import('smol-toml');
  try {
    return new TomlTable(parse(bytes.toString('utf8')) as JsonObject, path);
  } catch (error) {
    const { line, column } = error as { readonly line?: number; readonly column?: number };
    throw new RegistryError('INVALID_HOSTS_FILE', `${path} is not TOML`, {
      cause: error,
      details: { path, ...(line === undefined ? {} : { line, column }) },
    });
  }
}

/** Reads a file of bounded size; undefined when it is not there. @throws {@link RegistryError} `INVALID_HOSTS_FILE` */
export async function readConfigFile(path: string): Promise<Buffer | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new RegistryError('INVALID_HOSTS_FILE', `cannot read ${path}`, { cause: error });
  }
  if (bytes.byteLength > MAX_BYTES) throw invalid(path, `it is larger than ${MAX_BYTES} bytes`);
  return bytes;
}

/** Names in a directory, sorted; none when it is not there. @throws {@link RegistryError} `INVALID_HOSTS_FILE` */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    if (names.length > MAX_FILES) throw invalid(directory, `it holds more than ${MAX_FILES} entries`);
    return names.sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    if (error instanceof RegistryError) throw error;
    throw new RegistryError('INVALID_HOSTS_FILE', `cannot read ${directory}`, { cause: error });
  }
}

/** Reads PEM files into one text. @throws {@link RegistryError} `INVALID_HOSTS_FILE` for one that is not there */
export async function readPem(directory: string, names: readonly string[]): Promise<string> {
  const texts: string[] = [];
  for (const name of names) {
    const path = name.startsWith('/') ? name : join(directory, name);
    const bytes = await readConfigFile(path);
    if (bytes === undefined) throw invalid(path, 'it is not there');
    texts.push(bytes.toString('utf8').trimEnd());
  }
  return `${texts.join('\n')}\n`;
}

/** The error for a file that says something it may not. */
export function invalid(path: string, why: string): RegistryError {
  return new RegistryError('INVALID_HOSTS_FILE', `${path}: ${why}`, { details: { path } });
}

/** A table of a TOML file, read member by member; a member of another type is an error, never ignored. */
export class TomlTable {
  readonly #members: JsonObject;
  readonly path: string;

  constructor(members: JsonObject, path: string) {
    this.#members = members;
    this.path = path;
  }

  get names(): readonly string[] {
    return Object.keys(this.#members);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#members, name);
  }

  text(name: string): string | undefined {
    return this.#member(name, (value) => typeof value === 'string', 'a string') as string | undefined;
  }

  flag(name: string): boolean | undefined {
    return this.#member(name, (value) => typeof value === 'boolean', 'a boolean') as boolean | undefined;
  }

  /** A list of strings; a single string is a list of one. */
  texts(name: string): readonly string[] {
    const fits = (value: unknown) => [value].flat().every((item) => typeof item === 'string');
    const value = this.#member(name, fits, 'a list of strings') as string | readonly string[] | undefined;
    return value === undefined ? [] : [value].flat();
  }

  /** A list of strings or lists of one or two strings; a single string is a list of one. */
  pairs(name: string): readonly (readonly [string, string?])[] {
    const isPair = (item: unknown) =>
      [item].flat().length <= 2 &&
      [item].flat().length > 0 &&
      [item].flat().every((text) => typeof text === 'string');
    const fits = (value: unknown) => (Array.isArray(value) ? value : [value]).every(isPair);
    const value = this.#member(name, fits, 'a file, a list of files or of pairs of files');
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((item) => [item].flat() as [string, string?]);
  }

  table(name: string): TomlTable | undefined {
    const value = this.#member(name, isObject, 'a table');
    return value === undefined ? undefined : new TomlTable(value as JsonObject, this.path);
  }

  tables(name: string): readonly TomlTable[] {
    const fits = (value: unknown) => Array.isArray(value) && value.every(isObject);
    const list = (this.#member(name, fits, 'a list of tables') ?? []) as readonly JsonObject[];
    return list.map((value) => new TomlTable(value, this.path));
  }

  #member(name: string, fits: (value: unknown) => boolean, kind: string): unknown {
    const value = this.has(name) ? this.#members[name] : undefined;
    if (value === undefined || fits(value)) return value;
    throw invalid(this.path, `${name} is not ${kind}`);
  }
}
