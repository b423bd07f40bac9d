import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RegistryError } from '../errors.ts';
import { isObject, type JsonObject, parseStrictJson } from '../oci/strict-json.ts';
import type { Repository } from '../reference.ts';
import type { Credentials, Keychain } from './keychain.ts';

const HUB_KEY = 'https://index.docker.io/v1/';
const HELPER_NAME = /^[a-z0-9._-]{1,64}$/;
const HELPER_TIMEOUT_MS = 10_000;
const HELPER_MAX_BYTES = 64 * 1024;

/**
 * Credentials as the docker CLI keeps them: `auths`, `credHelpers` and `credsStore` of `<directory>/config.json`.
 * A missing file means no credentials. Helpers run without a shell, for at most 10 seconds.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE`, `CREDENTIAL_HELPER_FAILED`
 */
export function dockerConfigKeychain(options: {
  /** Folder of `config.json`: `DOCKER_CONFIG`, normally `~/.docker`. */
  readonly directory: string;
  /** Time a credential helper may take. @defaultValue 10000 */
  readonly helperTimeoutMs?: number;
}): Keychain {
  let config: Promise<JsonObject> | undefined;
  const known = new Map<string, Promise<Credentials | undefined>>();
  return {
    resolve: async ({ registry }: Repository) => {
      config ??= readConfig(join(options.directory, 'config.json'));
      const document = await config;
      const key = registry === 'docker.io' ? HUB_KEY : registry;
      const helper = helperOf(document, key);
      if (helper === undefined) return fromAuths(document, key);
      let answer = known.get(key);
      if (answer === undefined) {
        answer = askHelper(helper, key, options.helperTimeoutMs ?? HELPER_TIMEOUT_MS);
        known.set(key, answer);
        answer.catch(() => known.delete(key));
      }
      return answer;
    },
  };
}

async function readConfig(path: string): Promise<JsonObject> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new RegistryError('INVALID_CREDENTIALS_FILE', `cannot read ${path}`, { cause: error });
  }
  return parseStrictJson(bytes, path, 'INVALID_CREDENTIALS_FILE');
}

function helperOf(document: JsonObject, key: string): string | undefined {
  const helpers = document.credHelpers;
  const named = isObject(helpers) && Object.hasOwn(helpers, key) ? helpers[key] : document.credsStore;
  if (named === undefined || named === '') return undefined;
  if (typeof named === 'string' && HELPER_NAME.test(named)) return named;
  throw new RegistryError('INVALID_CREDENTIALS_FILE', 'the credential helper has an unacceptable name', {
    hint: 'A helper is named by lower-case letters, digits, dots, dashes and underscores.',
  });
}

function fromAuths(document: JsonObject, key: string): Credentials | undefined {
  const { auths } = document;
  if (!isObject(auths)) return undefined;
  const entry = [key, `https://${key}`, `https://${key}/`, `https://${key}/v1/`, `https://${key}/v2/`]
    .map((name) => (Object.hasOwn(auths, name) ? auths[name] : undefined))
    .find(isObject);
  if (entry === undefined) return undefined;
  if (typeof entry.identitytoken === 'string' && entry.identitytoken !== '') {
    return { kind: 'identity', token: entry.identitytoken };
  }
  if (typeof entry.registrytoken === 'string' && entry.registrytoken !== '') {
    return { kind: 'bearer', token: entry.registrytoken };
  }
  if (typeof entry.auth === 'string' && entry.auth !== '') {
    const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon <= 0)
      throw new RegistryError('INVALID_CREDENTIALS_FILE', `the auth entry of ${key} is not user:password`);
    return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return undefined;
}

/** Runs `docker-credential-<name> get`. @see docker-credential-helpers, "Development" */
function askHelper(name: string, key: string, timeoutMs: number): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown) =>
      reject(new RegistryError('CREDENTIAL_HELPER_FAILED', `${program} get ${key}: ${reason}`, { cause }));
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`no answer within ${timeoutMs} ms`);
    }, timeoutMs);
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= HELPER_MAX_BYTES) chunks.push(chunk);
      else child.kill('SIGKILL');
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      fail('it could not be started', error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const text = Buffer.concat(chunks).toString('utf8');
      if (size > HELPER_MAX_BYTES) return fail(`more than ${HELPER_MAX_BYTES} bytes`);
      if (code !== 0) return /not found/i.test(text) ? resolve(undefined) : fail(`exit code ${code}`);
      resolve(readAnswer(text, fail));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(key);
  });
}

function readAnswer(text: string, fail: (reason: string) => void): Credentials | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    fail('its answer is not JSON');
    return undefined;
  }
  if (!isObject(answer) || typeof answer.Username !== 'string' || typeof answer.Secret !== 'string') {
    fail('its answer has no Username and Secret');
    return undefined;
  }
  if (answer.Username === '<token>') return { kind: 'identity', token: answer.Secret };
  return { kind: 'basic', username: answer.Username, password: answer.Secret };
}
