import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../../test/services.ts';
import { parseDockerignore } from './dockerignore.ts';

const TREE = [
  ...['a', 'b.md', 'README.md', 'Foo', 'foo', 'dir/a', 'dir/b.md', 'dir/sub/c', 'dir/sub/d.md', '.hidden'],
  ...['.git/config', 'node_modules/x/y', 'src/node_modules/z', 'src/a b', 'x[1]', 'src/#c', 'é', 'tmp/k'],
  ...['src/tmp/k', 'dir2/a', 'star*x', 'back\\slash'],
];

/** Rules with what docker 20.10 leaves of the tree, by number of paths and some of them. */
const RULES = [
  ...[
    'foo',
    'FOO',
    '/foo',
    './foo',
    'foo\r\nb.md\r\n',
    '\ufefffoo',
    '#foo',
    '\\#foo',
    '*.md',
    '**/*.md',
    '*/*.md',
  ],
  ...[
    '*\n!b.md',
    'dir\n!dir/sub/c',
    'dir\n!dir/sub',
    'dir/*\n!dir/sub',
    '**\n!dir/sub/c',
    '*\n!dir',
    'dir\n!**/c',
  ],
  ...[
    'node_modules',
    '**/node_modules',
    'src/**',
    'src/**/k',
    'tmp/',
    'dir/**/d.md',
    'x[1]',
    'x[[]1]',
    'x\\[1]',
  ],
  ...[
    'src/a b',
    '  foo  ',
    '! b.md',
    '*.md\n!README*.md\nREADME.md',
    '.*',
    '.git',
    'd?r',
    'dir*',
    'dir/../foo',
  ],
  ...[
    '../foo',
    'dir//a',
    'dir/.',
    '/',
    '.',
    '**/',
    'star\\*x',
    'back\\\\slash',
    'é',
    '**/sub/*',
    '[a-c]',
    '[^a]',
  ],
  ...['a{', '!foo\nfoo', 'foo\n!foo', 'foo #comment', '!', '[', 'foo\n[', '[]a]', '[z-a]', 'a\\'],
];

function kept(rules: string): readonly string[] | 'refused' {
  try {
    const { ignores } = parseDockerignore(rules);
    return TREE.filter((path) => !ignores(path)).sort();
  } catch (error) {
    expect(error).toMatchObject({ code: 'SOURCE_INVALID', details: { line: expect.any(Number) } });
    return 'refused';
  }
}

describe('parseDockerignore()', () => {
  test.each([
    ['*.md', ['b.md', 'README.md'], ['dir/b.md']],
    ['**/*.md', ['b.md', 'dir/b.md', 'dir/sub/d.md'], ['a']],
    ['foo', ['foo'], ['Foo']],
    ['dir\n!dir/sub', ['dir/a'], ['dir/sub/c']],
    ['dir\n!**/c', ['dir/a', 'dir/sub/c'], ['dir2/a']],
    ['node_modules', ['node_modules/x/y'], ['src/node_modules/z']],
  ])('%j leaves out %j, and not %j', (rules, out, rest) => {
    const { ignores } = parseDockerignore(rules);
    expect([out.filter(ignores), rest.filter(ignores)]).toEqual([out, []]);
  });

  test('takes no longer than rules and paths are long', () => {
    const path = `${'a/'.repeat(50)}${'a'.repeat(1000)}`;
    for (const rule of ['*a'.repeat(50), '**/a'.repeat(50), '?'.repeat(1200), '**/*'.repeat(50)]) {
      expect(parseDockerignore(`${rule}b`).ignores(path)).toBe(false);
    }
    const many = parseDockerignore(`${'*a'.repeat(500)}b\n`.repeat(5000));
    expect(() => many.ignores('a'.repeat(4000))).toThrow(
      expect.objectContaining({ code: 'SOURCE_LIMIT_EXCEEDED' }),
    );
  });

  test('reads any text, or says what is wrong with it', () => {
    const character = fc.constantFrom('*', '?', '[', ']', '\\', '!', '/', 'a', '^', '-', '.', ' ', '\n', '#');
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 40 }), fc.constantFrom(...TREE), (rules, path) => {
        try {
          expect(typeof parseDockerignore(rules).ignores(path)).toBe('boolean');
        } catch (error) {
          expect(error).toMatchObject({ code: 'SOURCE_INVALID' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe.skipIf(!available('docker-engine', 'docker', 'tar'))(
  'parseDockerignore() beside docker build',
  () => {
    const run = promisify(execFile);
    const directory = mkdtempSync(join(tmpdir(), 'imagevet-ignore-'));
    const docker = (...args: readonly string[]) =>
      run('docker', [...args], { env: { ...process.env, DOCKER_HOST: dockerHost, DOCKER_BUILDKIT: '0' } });
    for (const path of TREE) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), path);
    }
    afterAll(() => rmSync(directory, { recursive: true }));

    async function keptByDocker(rules: string): Promise<readonly string[] | 'refused'> {
      writeFileSync(join(directory, 'Dockerfile'), 'FROM scratch\nCOPY . /context/\nCMD ["x"]\n');
      writeFileSync(join(directory, '.dockerignore'), rules);
      const built = await docker('build', '-q', '--no-cache', directory).catch(() => undefined);
      if (built === undefined) return 'refused';
      const image = built.stdout.trim();
      const container = (await docker('create', image)).stdout.trim();
      const tar = join(directory, '..', `${container}.tar`);
      await docker('export', '-o', tar, container);
      const { stdout } = await run('tar', ['--quoting-style=literal', '-tf', tar]);
      rmSync(tar);
      await docker('rm', container);
      await docker('rmi', image);
      return stdout
        .split('\n')
        .filter((path) => /^context\/.*[^/]$/.test(path))
        .map((path) => path.slice('context/'.length))
        .filter((path) => path !== 'Dockerfile' && path !== '.dockerignore')
        .sort();
    }

    test('leaves the same', async () => {
      for (const rules of RULES) expect([rules, kept(rules)]).toEqual([rules, await keptByDocker(rules)]);
    }, 120_000);
  },
);
