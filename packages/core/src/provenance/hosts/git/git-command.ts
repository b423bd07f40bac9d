import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CoreError } from '../../../errors.ts';

/** How git is run. */
export interface GitOptions {
  /**
   * Environment of git; that of the process is not passed on. Give `process.env` to let git use a proxy, an agent or
   * a configuration. @defaultValue a PATH of the usual directories
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Time one command may take, in milliseconds. @defaultValue 600000 */
  readonly timeoutMs?: number;
}

/** One git command. */
export interface GitCommand {
  readonly directory: string;
  readonly arguments: readonly string[];
  /** `-c` settings for this command. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

/** git ended with a status that is not 0. */
export class GitExit extends Error {
  readonly status: number | null;

  constructor(status: number | null, message: string) {
    super(message);
    this.name = 'GitExit';
    this.status = status;
  }
}

/**
 * Runs git on a bare repository and yields what it prints.
 *
 * @throws GitExit, {@link CoreError} `SOURCE_LIMIT_EXCEEDED`, `SOURCE_UNREACHABLE` (timeout), `SOURCE_UNSUPPORTED` (no git)
 */
export async function* streamGit(command: GitCommand, options: GitOptions): AsyncGenerator<Uint8Array> {
  command.signal?.throwIfAborted();
  const child = await startGit(command, options);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (stderr.length < 4096) stderr += chunk.toString('utf8');
  });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  closed.catch(() => {}); // awaited below
  let stopped: unknown;
  const stop = (reason: unknown) => {
    stopped ??= reason;
    child.kill('SIGKILL');
  };
  const { timeoutMs = 600_000 } = options;
  const [verb] = command.arguments;
  const timer = setTimeout(
    () => stop(new CoreError('SOURCE_UNREACHABLE', `git ${verb}: not done after ${timeoutMs} ms`)),
    timeoutMs,
  );
  const abort = () => stop(command.signal?.reason);
  command.signal?.addEventListener('abort', abort, { once: true });
  try {
    child.stdin.on('error', () => {}); // git may end before it has read its input; its status says why
    child.stdin.end(command.input ?? '');
    let bytes = 0;
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > command.maxBytes) {
        throw new CoreError('SOURCE_LIMIT_EXCEEDED', `git ${verb}: more than ${command.maxBytes} bytes`);
      }
      yield chunk;
    }
    const status = await closed.catch((error: unknown) => {
      throw new CoreError('SOURCE_UNSUPPORTED', 'git cannot be started', {
        cause: error,
        hint: 'Install git.',
      });
    });
    if (stopped !== undefined) throw stopped;
    if (status !== 0) throw new GitExit(status, withoutSecrets(stderr.trim()));
  } finally {
    clearTimeout(timer);
    command.signal?.removeEventListener('abort', abort);
    child.kill('SIGKILL');
  }
}

/** As {@link streamGit}, with everything printed in memory. */
export async function runGit(command: GitCommand, options: GitOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamGit(command, options)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Starts git on a bare repository; the caller ends it. */
export async function startGit(
  { directory, arguments: args, settings = {} }: Pick<GitCommand, 'directory' | 'arguments' | 'settings'>,
  { environment = { PATH: DEFAULT_PATH } }: GitOptions,
): Promise<ChildProcessByStdio<Writable, Readable, Readable>> {
  const { spawn } = await import('node:child_process');
  const configured = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  return spawn('git', [`--git-dir=${directory}`, '--literal-pathspecs', ...configured, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      ...environment,
      GIT_TERMINAL_PROMPT: '0',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_PROTOCOL_FROM_USER: '0',
      LC_ALL: 'C',
    },
  });
}

/** Nothing runs, nothing else is contacted: hooks, submodules, credential helpers, other protocols. */
const SETTINGS: Readonly<Record<string, string>> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'credential.helper': '',
  'fetch.recurseSubmodules': 'false',
  'gc.auto': '0',
  'http.followRedirects': 'false',
  'maintenance.auto': 'false',
  'protocol.allow': 'never',
  'protocol.https.allow': 'always',
};

const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/** What git printed, fit for a message. */
export function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^/@\s]{1,256}@/g, '//').slice(0, 400);
}
