// What users install: the packed tarballs, checked by publint and attw and used from a scratch project.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorld, type World } from '../examples/demo/src/index.ts';
import { available, dockerHost } from './services.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PACKAGES = ['registry', 'trust', 'core'] as const;
const scratch = mkdtempSync(join(tmpdir(), 'imagevet-packed-'));
const tarballs: Record<string, string> = {};

function pnpm(directory: string, ...parameters: readonly string[]): string {
  return execFileSync('pnpm', parameters, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

beforeAll(() => {
  for (const name of PACKAGES) {
    const directory = join(root, 'packages', name);
    // Always: a `dist` that is there may be of other sources than these.
    pnpm(directory, 'run', 'build');
    pnpm(directory, 'pack', '--pack-destination', scratch);
    const tarball = readdirSync(scratch).find((file) => file.startsWith(`imagevet-${name}-`));
    if (tarball === undefined) throw new Error(`pnpm pack left no tarball of ${name}`);
    tarballs[name] = join(scratch, tarball);
  }
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.each(PACKAGES)('packed @imagevet/%s', (name) => {
  test('holds only what users need', () => {
    const files = execFileSync('tar', ['-tzf', tarballs[name] ?? ''], { encoding: 'utf8' }).split('\n');
    expect(files).toContain('package/dist/index.js');
    expect(files).toContain('package/dist/index.d.ts');
    expect(files).toContain('package/README.md');
    expect(files).toContain('package/LICENSE');
    expect(files.filter((file) => /\.test\.ts$|__fixtures__|node_modules/.test(file))).toEqual([]);
  });

  test('has no install script and no dependency of the workspace kind', () => {
    const manifest = JSON.parse(
      execFileSync('tar', ['-xzOf', tarballs[name] ?? '', 'package/package.json'], { encoding: 'utf8' }),
    ) as { scripts?: Record<string, string>; dependencies?: Record<string, string> };
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
      expect(manifest.scripts ?? {}).not.toHaveProperty(script);
    }
    for (const range of Object.values(manifest.dependencies ?? {})) {
      expect(range).not.toMatch(/^(workspace|catalog|file|link):/);
    }
  });

  test('passes publint', () => {
    expect(() => pnpm(root, 'exec', 'publint', '--strict', tarballs[name] ?? '')).not.toThrow();
  });

  test('passes attw', () => {
    expect(() =>
      pnpm(root, 'exec', 'attw', tarballs[name] ?? '', '--profile', 'esm-only', '--no-emoji'),
    ).not.toThrow();
  }, 60_000);
});

/** Vets the embedded family on an engine, from the installed packages; prints the decision or why there was no engine. */
function engineProgram(world: World, engine: string): string {
  const { registry, repositoryPrefix } = world.target;
  return `import { dockerEngineBuilder, publicServices, vet } from '@imagevet/core';
    import { RegistryClient } from '@imagevet/registry';
    const client = new RegistryClient();
    const services = publicServices(${JSON.stringify(world.serviceOptions)});
    const builder = dockerEngineBuilder({ registry: client, dockerHost: ${JSON.stringify(engine)} });
    const target = { ...${JSON.stringify({ registry, repositoryPrefix })}, client };
    const report = await vet('${world.image}', { ...services, target, builder });
    const lost = report.gaps.find(({ code }) => code === 'ENGINE_UNREACHABLE');
    const said = report.rebuild?.outcomes.find(({ status }) => status === 'failed')?.code;
    console.log(lost?.code ?? said ?? report.verdict.decision);
    await client.close();
    await services.registry.close();`;
}

describe('a scratch project', () => {
  const project = join(scratch, 'project');

  beforeAll(() => {
    mkdirSync(project);
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({
        name: 'scratch',
        private: true,
        type: 'module',
        dependencies: Object.fromEntries(
          PACKAGES.map((name) => [`@imagevet/${name}`, `file:${tarballs[name]}`]),
        ),
      }),
    );
    writeFileSync(
      join(project, 'pnpm-workspace.yaml'),
      [
        'packages: []',
        'overrides:',
        ...PACKAGES.map((name) => `  "@imagevet/${name}": "file:${tarballs[name]}"`),
        'allowBuilds: { cpu-features: false, protobufjs: false, ssh2: false }',
        '',
      ].join('\n'),
    );
    pnpm(project, 'install', '--prefer-offline');
  }, 180_000);

  test.each(PACKAGES)('imports @imagevet/%s as ESM and by require()', (name) => {
    const program = `const names = Object.keys(await import('@imagevet/${name}'));
      const { createRequire } = await import('node:module');
      const required = Object.keys(createRequire(import.meta.url)('@imagevet/${name}'));
      process.stdout.write(JSON.stringify([names.sort(), required.filter((key) => key !== 'module.exports').sort()]));`;
    writeFileSync(join(project, 'names.mjs'), program);
    const output = execFileSync(process.execPath, ['names.mjs'], { cwd: project, encoding: 'utf8' });
    const [imported, required] = JSON.parse(output) as [string[], string[]];
    expect(imported.length).toBeGreaterThan(3);
    expect(required).toEqual(imported);
  });

  test('has dockerode without any install script having run, and asks an engine with it', async () => {
    expect(readFileSync(join(project, 'pnpm-workspace.yaml'), 'utf8')).toContain('allowBuilds');
    const built = readdirSync(join(project, 'node_modules', '.pnpm'), { recursive: true, encoding: 'utf8' });
    expect(built.filter((path) => path.endsWith('.node') && /cpu-features|ssh2/.test(path))).toEqual([]);
    await using world = await startWorld();
    writeFileSync(join(project, 'engine.mjs'), engineProgram(world, dockerHost ?? 'http://127.0.0.1:1'));
    const { stdout } = await promisify(execFile)(process.execPath, ['engine.mjs'], { cwd: project });
    expect(stdout.trim()).toBe(available('docker-engine') ? 'allow' : 'ENGINE_UNREACHABLE');
  }, 180_000);

  test("runs the README's example, from ESM and by require()", async () => {
    const { runReadmeExample } = await import('./readme-example.ts');
    const outputs = await runReadmeExample(project, readFileSync(join(root, 'README.md'), 'utf8'));
    expect(outputs.esm).toMatch(/^(allow|deny)/);
    expect(outputs.commonJs).toBe(outputs.esm);
  }, 120_000);
});
