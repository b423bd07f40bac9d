import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from '../services.ts';
import { Absent } from './matrix.ts';

/** The environment of a podman that keeps all it has in a directory, and reads nothing of the machine's. */
export function podmanEnvironment(
  directory: string,
  options: { readonly insecureRegistries?: readonly string[] } = {},
): NodeJS.ProcessEnv {
  const storage = join(directory, 'storage.conf');
  const registries = join(directory, 'registries.conf');
  writeFileSync(
    storage,
    `[storage]\ndriver = "vfs"\ngraphroot = "${directory}/storage"\nrunroot = "${directory}/run"\n`,
  );
  writeFileSync(
    registries,
    (options.insecureRegistries ?? [])
      .map((location) => `[[registry]]\nlocation = "${location}"\ninsecure = true\n`)
      .join(''),
  );
  return {
    CONTAINERS_STORAGE_CONF: storage,
    CONTAINERS_REGISTRIES_CONF: registries,
    // Runs RUN without a container runtime, as one is often not allowed where tests run.
    BUILDAH_ISOLATION: 'chroot',
  };
}

/** Starts podman's Docker-compatible API. */
export async function startPodman(
  insecureRegistries: readonly string[],
): Promise<{ readonly dockerHost: string; close(): Promise<void> }> {
  const program = findProgram('podman');
  if (program === undefined) throw new Absent('podman is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-podman-'));
  const socket = join(directory, 'podman.sock');
  const env = { ...process.env, ...podmanEnvironment(directory, { insecureRegistries }) };
  const child = spawn(program, ['system', 'service', '--time=0', `unix://${socket}`], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = `${log}${chunk.toString('utf8')}`.slice(-2048);
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const close = async () => {
    child.kill('SIGTERM');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < 100 && child.exitCode === null; attempt += 1) {
    if (existsSync(socket)) return { dockerHost: `unix://${socket}`, close };
    await sleep(100);
  }
  await close();
  throw new Absent(`podman's API does not start here: ${log.trim().split('\n').at(-1)}`);
}
