import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { dockerHost, findProgram } from '../services.ts';
import { Absent } from './matrix.ts';

/** Runs a program of another project and returns what it prints on its standard output. */
export async function run(
  program: string,
  args: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv;
    readonly signal?: AbortSignal;
    /** What it reads on its standard input, instead of an end. */
    readonly input?: string;
  } = {},
): Promise<string> {
  const path = findProgram(program);
  if (path === undefined) throw new Absent(`${program} is not installed`);
  const env = { ...process.env, ...options.env };
  const { signal } = options;
  try {
    const running = promisify(execFile)(path, args, { env, signal, timeout: 60_000 });
    // A program may end before it has read everything: its exit code says whether that was well.
    running.child.stdin?.on('error', () => undefined);
    running.child.stdin?.end(options.input);
    return (await running).stdout;
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
    // Some tell why they fail where they print results.
    const reason = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join(' ') || String(error);
    throw new Error(`${program} ${args.slice(0, 2).join(' ')}: ${reason}`, { cause: error });
  }
}

/** Runs the docker CLI against the engine, or says that there is none. */
export async function docker(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly signal?: AbortSignal } = {},
): Promise<string> {
  if (dockerHost === undefined) throw new Absent('no Docker Engine');
  try {
    return await run('docker', args, { ...options, env: { DOCKER_HOST: dockerHost, ...options.env } });
  } catch (error) {
    if (!String(error).includes('Cannot connect to the Docker daemon')) throw error;
    throw new Absent('the Docker Engine does not answer');
  }
}

/** Fails with both values when they differ. */
export function expectSame(subject: string, actual: unknown, expected: unknown): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${subject}: expected ${right}, received ${left}`);
}
