import { readFile } from 'node:fs/promises';
import { RegistryError } from '../errors.ts';
import { isObject, type JsonObject, parseStrictJson } from '../oci/strict-json.ts';
import type { Credentials } from './keychain.ts';

const MAX_BYTES = 4 * 1024 * 1024;

/** Reads a credentials file; one that is not there holds nothing. @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE` */
export async function readCredentialsFile(path: string): Promise<JsonObject> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new RegistryError('INVALID_CREDENTIALS_FILE', `cannot read ${path}`, { cause: error });
  }
  if (bytes.byteLength > MAX_BYTES) {
    throw new RegistryError('INVALID_CREDENTIALS_FILE', `${path} is larger than ${MAX_BYTES} bytes`);
  }
  return bytes.byteLength === 0 ? {} : parseStrictJson(bytes, path, 'INVALID_CREDENTIALS_FILE');
}

/**
 * Reads one entry of `auths`. An empty entry, as a credential store leaves behind, holds nothing.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE`
 * @see Docker CLI, `config.json`
 */
export function readAuthEntry(entry: JsonObject, name: string): Credentials | undefined {
  const text = (member: string) => {
    const value = entry[member];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const identityToken = text('identitytoken');
  if (identityToken !== undefined) return { kind: 'identity', token: identityToken };
  const registryToken = text('registrytoken');
  if (registryToken !== undefined) return { kind: 'bearer', token: registryToken };
  const auth = text('auth');
  if (auth === undefined) {
    const username = text('username');
    const password = text('password');
    return username === undefined || password === undefined
      ? undefined
      : { kind: 'basic', username, password };
  }
  const decoded = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  if (colon <= 0) {
    throw new RegistryError(
      'INVALID_CREDENTIALS_FILE',
      `the auth entry of ${name} is not user:password in base64`,
    );
  }
  return { kind: 'basic', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/**
 * The host an entry of `auths` is for: old files name it as a URL, with scheme and path.
 * `https://index.docker.io/v1/` is Docker Hub.
 */
export function hostOfEntry(name: string): string {
  const host = name.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  return HUB_HOSTS.has(host) ? 'docker.io' : host;
}

/** Every name Docker Hub's credentials may be kept under. */
const HUB_HOSTS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Finds the value of an own member that is an object. */
export function entryOf(map: unknown, name: string): JsonObject | undefined {
  if (!isObject(map) || !Object.hasOwn(map, name)) return undefined;
  const value = map[name];
  return isObject(value) ? value : undefined;
}
