// What users install: the packed tarballs, checked by publint and attw and used from a scratch project.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

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
    if (!existsSync(join(directory, 'dist', 'index.js'))) pnpm(directory, 'run', 'build');
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

  test("runs the README's example, from ESM and by require()", async () => {
    const { runReadmeExample } = await import('./readme-example.ts');
    const outputs = await runReadmeExample(project, readFileSync(join(root, 'README.md'), 'utf8'));
    expect(outputs.esm).toMatch(/^(allow|deny)/);
    expect(outputs.commonJs).toBe(outputs.esm);
  }, 120_000);
});
