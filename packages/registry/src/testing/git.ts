import { spawn } from 'node:child_process';

/** A git command that ended with another status than 0. */
export class GitFailure extends Error {
  readonly status: number | null;

  constructor(args: readonly string[], status: number | null, stderr: string) {
    super(`git ${args[0]} ended with ${status}: ${stderr.trim().slice(0, 400)}`);
    this.name = 'GitFailure';
    this.status = status;
  }
}

/** Runs git on a repository and returns what it printed. */
export async function git(
  repository: string,
  args: readonly string[],
  options: { readonly input?: string | Uint8Array; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Buffer> {
  // --git-dir: neither the machine's configuration nor a surrounding git hook decides which repository is read.
  const child = spawn('git', [`--git-dir=${repository}`, '--literal-pathspecs', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: PROGRAMS,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      LC_ALL: 'C',
      ...options.env,
    },
  });
  const output: Buffer[] = [];
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString('utf8');
  });
  child.stdin.on('error', () => {}); // git may end before it has read its input; its status says why
  child.stdin.end(options.input ?? '');
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0) throw new GitFailure(args, status, errors);
  return Buffer.concat(output);
}

/** Where git is looked for; the environment of the process is not passed on. */
export const PROGRAMS: string = '/usr/local/bin:/usr/bin:/bin';
