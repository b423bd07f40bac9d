import { spawn } from 'node:child_process';
import { RegistryError } from '../errors.ts';
import { isObject, type JsonObject } from '../oci/strict-json.ts';
import type { Credentials } from './keychain.ts';
import { Remembered } from './remembered.ts';

const NAME = /^[a-z0-9._-]{1,64}$/;
const MAX_BYTES = 64 * 1024;

/** Asks credential helpers, each question once in a while. */
export class CredentialHelpers {
  readonly #timeoutMs: number;
  readonly #path: string | undefined;
  readonly #answers = new Map<string, Remembered<Credentials | undefined>>();

  constructor(options: { readonly timeoutMs?: number; readonly path?: string } = {}) {
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#path = options.path;
  }

  /**
   * @param fresh - asks again, whatever was answered before
   * @throws {@link RegistryError} `CREDENTIAL_HELPER_FAILED`
   */
  ask(helper: string, server: string, fresh?: boolean): Promise<Credentials | undefined> {
    const key = `${helper} ${server}`;
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      answer = new Remembered(() => runHelper(helper, server, this.#timeoutMs, this.#path));
      this.#answers.set(key, answer);
    }
    return answer.get(fresh);
  }
}

/**
 * The helper a file names for a server: `credHelpers` before `credsStore`.
 *
 * @throws {@link RegistryError} `INVALID_CREDENTIALS_FILE` for a name that is no plain program name
 */
export function helperOf(document: JsonObject, server: string): string | undefined {
  const { credHelpers } = document;
  const own = isObject(credHelpers) && Object.hasOwn(credHelpers, server) ? credHelpers[server] : undefined;
  const named = own ?? document.credsStore;
  if (named === undefined || named === '') return undefined;
  if (typeof named === 'string' && NAME.test(named)) return named;
  throw new RegistryError('INVALID_CREDENTIALS_FILE', 'the credential helper has an unacceptable name', {
    hint: 'A helper is named by lower-case letters, digits, dots, dashes and underscores.',
  });
}

/** Runs `docker-credential-<name> get`, without a shell. @see docker-credential-helpers, "Development" */
function runHelper(
  name: string,
  server: string,
  timeoutMs: number,
  path: string | undefined,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown) =>
      reject(new RegistryError('CREDENTIAL_HELPER_FAILED', `${program} get ${server}: ${reason}`, { cause }));
    const child = spawn(path === undefined ? program : `${path}/${program}`, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const end = (reason: string) => {
      child.kill('SIGKILL');
      // A process the helper left behind may hold the pipe open.
      child.stdout.destroy();
      fail(reason);
    };
    const timer = setTimeout(() => end(`no answer within ${timeoutMs} ms`), timeoutMs);
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size > MAX_BYTES) return end(`more than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
      return undefined;
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      fail('it could not be started', error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const text = Buffer.concat(chunks).toString('utf8');
      if (code === 0) return resolve(readAnswer(text, fail));
      return /not found/i.test(text) ? resolve(undefined) : fail(`exit code ${code}`);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(server);
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
  // Some helpers answer with nothing instead of failing.
  if (answer.Username === '' && answer.Secret === '') return undefined;
  if (answer.Username === '<token>') return { kind: 'identity', token: answer.Secret };
  return { kind: 'basic', username: answer.Username, password: answer.Secret };
}
