import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from '../services.ts';
import { Absent } from './matrix.ts';
import { run } from './program.ts';

/** A containerd of its own; `ctr` asks it something. */
export interface Containerd {
  ctr(...args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** Starts containerd, which must run as root; Docker can keep its images in it. */
export async function startContainerd(): Promise<Containerd> {
  const program = findProgram('containerd');
  if (program === undefined) throw new Absent('containerd is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-containerd-'));
  const socket = join(directory, 'containerd.sock');
  const config = join(directory, 'config.toml');
  writeFileSync(
    config,
    [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      `[grpc]\naddress = "${socket}"`,
    ].join('\n'),
  );
  const child = spawn(program, ['--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
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
    if (existsSync(socket)) return { ctr: (...args) => run('ctr', ['--address', socket, ...args]), close };
    await sleep(100);
  }
  await close();
  throw new Absent(`containerd does not start here: ${log.trim().split('\n').at(-1)}`);
}
