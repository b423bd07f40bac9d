import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository } from '@imagevet/registry/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { main } from './main.ts';

let directory: string;
let mirrors: readonly string[];
let blog: string;
let base: string;
let armBase: string;

// An image on a base whose commit was force-pushed away, described by a library file and a README.
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-as-of-'));
  const make = (name: string, ...commits: Parameters<typeof createRepository>[1]) =>
    createRepository(join(directory, name), commits, { prune: true });
  const date = '2018-01-03T00:00:00Z';
  const blogs = await make('blog', {
    files: { 'web/Dockerfile': 'FROM base:slim\n' },
    message: 'blog',
    date,
  });
  const bases = await make(
    'base',
    ...['1', '2'].map((tar) => ({
      files: { Dockerfile: `FROM scratch\nADD ${tar}.tar /\n` },
      message: tar,
      date,
      parent: null,
    })),
  );
  blog = blogs.commits[0]!;
  base = bases.commits[0]!;
  armBase = bases.commits[1]!;
  const library = (repository: string, tag: string, commit: string, path: string) =>
    `Maintainers: A (@a)\nGitRepo: https://github.com/acme/${repository}.git\nArchitectures: amd64, arm64v8\n\nTags: ${tag}\nGitCommit: ${commit}\nDirectory: ${path}\n`;
  const readme = (repository: string, tag: string, commit: string, path: string) =>
    `# Supported tags and respective \`Dockerfile\` links\n\n-\t[\`${tag}\` (*${path}*)](https://github.com/acme/${repository}/blob/${commit}/${path})\n`;
  await make('library', {
    files: {
      'library/blog': library('blog', '4', blog, 'web'),
      'library/base': `${library('base', 'slim', base, '.')}arm64v8-GitCommit: ${armBase}\n`,
    },
    message: 'library',
    date,
  });
  await make('docs', {
    files: {
      'blog/README.md': readme('blog', '4', blog, 'web/Dockerfile'),
      'base/README.md': readme('base', 'slim', base, 'Dockerfile'),
    },
    message: 'docs',
    date,
  });
  mirrors = [
    `docker-library/official-images=${directory}/library`,
    `docker-library/docs=${directory}/docs`,
    `acme/blog=${directory}/blog`,
    `acme/base=${directory}/base`,
  ];
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

it('main() finds the same commits in library files and descriptions, and says which is gone', async () => {
  const lines: string[] = [];
  expect(await main(['blog:4', '2018-01-04', ...mirrors], (line) => lines.push(line))).toBe(0);
  const chain = [
    `  blog:4  https://github.com/acme/blog ${blog} web/Dockerfile`,
    '      Dockerfile found, commit reachable; FROM base:slim (claimed)',
    `  base:slim  https://github.com/acme/base ${base} Dockerfile`,
    '      Dockerfile commit-unreachable, commit unreachable; ends here: unresolved',
  ];
  const text = lines.join('\n');
  expect(text.split(chain.join('\n')).length).toBe(3); // once by each
  expect(lines.at(-1)).toMatch(/^\nBoth agree\. \d+ requests\.$/);
});

it('main() takes the link of a description for a guess where another platform is built from its own commit', async () => {
  const lines: string[] = [];
  const args = ['blog:4', '2018-01-04', '--platform=linux/arm64', ...mirrors];
  expect(await main(args, (line) => lines.push(line))).toBe(0);
  const text = lines.join('\n');
  expect(text).toContain(`base:slim  https://github.com/acme/base ${armBase} Dockerfile`);
  expect(text).toContain(`base:slim  https://github.com/acme/base ${base} Dockerfile`);
  expect(text).toContain('base:slim: the description links what amd64 is built from, a guess here.');
  expect(lines.at(-1)).toContain('Both agree.');
});

it('main() explains its use', async () => {
  const lines: string[] = [];
  expect(await main(['blog:4', 'yesterday'], (line) => lines.push(line))).toBe(2);
  expect(lines.join()).toMatch(/^usage:/);
});
