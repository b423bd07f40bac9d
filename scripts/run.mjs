// Runs a workspace task on a machine that has only git and npm: brings Node and pnpm when the machine's are
// missing or too old, installs what the lockfile says, then starts the task. Plain JavaScript on purpose: the
// Node that reads this file may be old.
//
//   node scripts/run.mjs <demo|test|build|check|docs|bench|interop|truth|format> [arguments]
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const NODE_PACKAGE = 'node@24';

const [task = '', ...args] = process.argv.slice(2);
const tasks = {
  demo: () => source('examples/demo/src/bin.ts', ...args),
  bench: () => source('bench/run.ts', ...args),
  interop: () => source('test/interop/run.ts', ...args),
  truth: () => source('test/truth/run.ts', ...args),
  test: () => source('scripts/test.ts', ...args),
  docs: () => pnpm('exec', 'typedoc', ...args),
  build: () => pnpm('--recursive', 'run', 'build'),
  check: () => pnpm('exec', 'biome', 'check') || pnpm('exec', 'tsc'),
  format: () => pnpm('exec', 'biome', 'check', '--write'),
};

if (!Object.hasOwn(tasks, task)) {
  process.stderr.write(`usage: node scripts/run.mjs <${Object.keys(tasks).join('|')}> [arguments]\n`);
  process.exitCode = 2;
} else {
  process.exitCode = withToolchain() ?? install() ?? tasks[task]();
}

/** Starts this script again under npx when Node or pnpm is not usable; its exit code, or undefined. */
function withToolchain() {
  const packages = [];
  if (!nodeIsSupported(process.versions.node)) packages.push(NODE_PACKAGE);
  if (!pnpmIsUsable()) packages.push(packageManager);
  if (packages.length === 0) return undefined;
  if (process.env.IMAGEVET_TOOLCHAIN === '1') {
    process.stderr.write(`could not bring ${packages.join(' and ')} from the npm registry\n`);
    return 1;
  }
  process.stderr.write(`bringing ${packages.join(' and ')} from the npm registry\n`);
  const command = ['node', 'scripts/run.mjs', task, ...args].map(quote).join(' ');
  return run('npx', ['-y', ...packages.flatMap((name) => ['-p', name]), '-c', command], {
    IMAGEVET_TOOLCHAIN: '1',
    // Where the old Node was found first on PATH, npx puts its packages before it.
    npm_config_yes: 'true',
  });
}

/** The range of `engines.node`: ^22.22.2 || ^24.15.0 || >=26. */
function nodeIsSupported(version) {
  const [major, minor, patch] = version.split('.').map(Number);
  if (major === 22) return minor > 22 || (minor === 22 && patch >= 2);
  if (major === 24) return minor >= 15;
  return major >= 26;
}

function pnpmIsUsable() {
  const found = spawnSync('pnpm', ['--version'], {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    env: { ...process.env, COREPACK_ENABLE_DOWNLOAD_PROMPT: '0' },
  });
  const wanted = packageManager.split('@')[1].split('.')[0];
  return found.status === 0 && found.stdout.trim().split('.')[0] === wanted;
}

function install() {
  const result = spawnSync('pnpm', ['install', '--frozen-lockfile', '--prefer-offline'], {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status === 0) return undefined;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}pnpm install failed\n`);
  return result.status ?? 1;
}

function pnpm(...parameters) {
  return run('pnpm', parameters);
}

/** Runs a TypeScript program from the sources, without a build. */
function source(...parameters) {
  return run(process.execPath, [
    '--conditions=@imagevet/source',
    '--disable-warning=ExperimentalWarning',
    ...parameters,
  ]);
}

function run(program, parameters, environment = {}) {
  const result = spawnSync(program, parameters, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, ...environment },
  });
  if (result.error !== undefined) process.stderr.write(`${program}: ${result.error.message}\n`);
  return result.status ?? 1;
}

function quote(text) {
  return /^[\w./@:=,+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
