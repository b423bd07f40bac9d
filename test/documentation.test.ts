// Every fenced `ts` block of the documents compiles against the packages, and every relative link leads somewhere.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
// Inside the workspace, so that the packages resolve; ignored by git.
const directory = join(root, '.imagevet', 'documentation');

const documents = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].map((name) => join(root, name)),
  ...['registry', 'trust', 'core'].map((name) => join(root, 'packages', name, 'README.md')),
  ...markdownBelow(join(root, 'docs')),
  ...markdownBelow(join(root, 'examples')),
].filter((path) => existsSync(path));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('every ts block compiles', () => {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const blocks = documents.flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match, index) => ({
      name: `${relative(root, path).replaceAll(/[^\w]+/g, '-')}-${index}.ts`,
      code: match[1] ?? '',
    })),
  );
  expect(blocks.length).toBeGreaterThan(3);
  // What `await using` opened is closed before a promise is waited for that is returned without `await`.
  const careless = blocks.filter(
    ({ code }) => code.includes('await using') && /^ {2,}return (?!await )\w+\(/m.test(code),
  );
  expect(careless).toEqual([]);
  for (const { name, code } of blocks) writeFileSync(join(directory, name), `${code}\nexport {};\n`);
  writeFileSync(
    join(directory, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../tsconfig.base.json',
      compilerOptions: {
        noEmit: true,
        emitDeclarationOnly: false,
        declaration: false,
        isolatedDeclarations: false,
        noUnusedLocals: false,
        paths: Object.fromEntries(
          ['registry', 'trust', 'core'].flatMap((name) => [
            [`@imagevet/${name}`, [`../../packages/${name}/src/index.ts`]],
            [`@imagevet/${name}/names`, [`../../packages/${name}/src/names.ts`]],
            [`@imagevet/${name}/testing`, [`../../packages/${name}/src/testing/index.ts`]],
          ]),
        ),
      },
      include: ['*.ts'],
    }),
  );
  const compile = () =>
    execFileSync('pnpm', ['exec', 'tsc', '-p', directory], { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  try {
    compile();
  } catch (error) {
    throw new Error(String((error as { stdout?: string }).stdout ?? error));
  }
}, 120_000);

describe.each(documents.map((path) => relative(root, path)))('%s', (path) => {
  test('has no broken relative link', () => {
    const text = readFileSync(join(root, path), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !/^([a-z]+:|#)/.test(target))
      .map((target) => target.split('#')[0] ?? '')
      .filter((target) => !existsSync(resolve(root, dirname(path), target)));
    expect(broken).toEqual([]);
  });
});

function markdownBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules') && !name.startsWith('api'))
    .map((name) => join(folder, name));
}
