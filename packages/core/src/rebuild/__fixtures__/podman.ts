import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from '../../../../../test/services.ts';

/** Podman's Docker-compatible API, with storage of its own. */
export interface PodmanService {
  readonly dockerHost: string;
  close(): Promise<void>;
}

/** Starts `podman system service`. @param insecure - registries to speak HTTP with */
export async function startPodman(insecure: readonly string[]): Promise<PodmanService> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-podman-'));
  const socket = join(directory, 'podman.sock');
  const registries = insecure.map((host) => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`).join('');
  writeFileSync(join(directory, 'registries.conf'), registries);
  writeFileSync(join(directory, 'containers.conf'), '[engine]\nevents_logger = "file"\n');
  mkdirSync(join(directory, 'tmp'));
  // runc runs where crun does not accept the cgroups of the machine.
  const runtime = findProgram('runc');
  const child = spawn(
    'podman',
    [
      ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--tmpdir', join(directory, 'tmp')],
      ...['--cgroup-manager', 'cgroupfs', ...(runtime === undefined ? [] : ['--runtime', runtime])],
      ...['system', 'service', '--time=0', `unix://${socket}`],
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        CONTAINERS_REGISTRIES_CONF: join(directory, 'registries.conf'),
        CONTAINERS_CONF: join(directory, 'containers.conf'),
      },
    },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = `${log}${chunk.toString('utf8')}`.slice(-4096);
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const close = async () => {
    child.kill('SIGTERM');
    await exited;
    unmountBelow(directory);
    rmSync(directory, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (await answers(socket)) return { dockerHost: `unix://${socket}`, close };
    if (child.exitCode !== null) break;
    await sleep(100);
  }
  await close();
  throw new Error(`podman did not answer:\n${log}`);
}

/** Podman leaves its storage mounted. */
function unmountBelow(directory: string): void {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`)).reverse()) {
    execFileSync('umount', [mount]);
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once('error', () => resolve(false));
    asked.end();
  });
}
