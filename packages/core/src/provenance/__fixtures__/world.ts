import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRepository, type GitHost, type RepositoryCommit, startGitHost } from '@imagevet/registry/testing';

/** Commits of the family, by what they are. */
export interface WorldCommits {
  readonly blog: string;
  readonly runtime: string;
  readonly rootfsAmd64: string;
  readonly rootfsArm64: string;
}

/**
 * A family of three official images in the shape of a real one: `blog:4` from `runtime:7-web` from `rootfs:slim`,
 * described by a library repository and a docs repository. The commits of `rootfs` are gone: its branches, one per
 * architecture, were force-pushed. All three are current together only on 3 and 4 January 2018.
 */
export interface World {
  readonly host: GitHost;
  readonly repositories: Readonly<Record<string, string>>;
  readonly commits: WorldCommits;
  /** A commit `acme/blog` stores and no branch holds. */
  readonly imposter: string;
  /** Ids of the library repository's commits, oldest first. */
  readonly library: readonly string[];
  close(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-world-'));
  const repositories: Record<string, string> = {};
  const make = async (name: string, commits: readonly RepositoryCommit[], prune = false) => {
    const repository = await createRepository(join(directory, name.replace('/', '+')), commits, { prune });
    repositories[name] = repository.path;
    return repository.commits;
  };

  const blog = await make('acme/blog', [
    {
      files: {
        'web/Dockerfile': 'FROM runtime:7-web\nCOPY start /start\nCMD ["/start"]\n',
        'web/start': { executable: '#!/bin/sh\n' },
        'web/latest': { symlink: 'start' },
        'web/ignored.txt': 'left out of archives\n',
        'web/module': { submodule: '1'.repeat(40) },
        '.gitattributes': 'web/ignored.txt export-ignore\n',
        'README.md': 'outside\n',
      },
      message: 'blog 4',
      date: '2018-01-02T00:00:00Z',
    },
    { files: { 'web/Dockerfile': 'FROM runtime:8-web\n' }, message: 'blog 5', date: '2018-02-01T00:00:00Z' },
    { files: { 'fork.txt': 'not ours\n' }, message: 'fork', date: '2018-02-02T00:00:00Z', branch: 'gone' },
    { files: { 'kept.txt': 'kept\n' }, message: 'kept', date: '2018-02-03T00:00:00Z', branch: 'gone', parent: null },
  ]);
  const runtime = await make('acme/runtime', [
    { files: { '7/web/Dockerfile': 'FROM rootfs:slim\n' }, message: 'runtime', date: '2018-01-01T00:00:00Z' },
  ]);
  const rootfs = await make(
    'acme/rootfs',
    ['amd64', 'arm64v8', 'amd64', 'arm64v8'].map((architecture, index) => ({
      files: { 'slim/Dockerfile': `FROM scratch\nADD rootfs-${architecture}-${index}.tar /\n` },
      message: architecture,
      date: `2018-0${index + 1}-01T00:00:00Z`,
      branch: `dist-${architecture}`,
      parent: null,
    })),
    true,
  );
  const commits = { blog: blog[0]!, runtime: runtime[0]!, rootfsAmd64: rootfs[0]!, rootfsArm64: rootfs[1]! };

  const library = await make('docker-library/official-images', [
    { files: libraryFiles({ ...commits, blog: '2'.repeat(40) }), message: 'before', date: '2018-01-01T00:00:00Z' },
    { files: libraryFiles(commits), message: 'together', date: '2018-01-03T12:00:00Z' },
    { files: libraryFiles({ ...commits, runtime: '3'.repeat(40) }), message: 'after', date: '2018-01-08T00:00:00Z' },
  ]);
  await make('docker-library/docs', [
    { files: readmes({ ...commits, blog: '2'.repeat(40) }), message: 'before', date: '2018-01-01T00:00:00Z' },
    { files: readmes(commits), message: 'together', date: '2018-01-03T13:00:00Z' },
    { files: readmes({ ...commits, runtime: '3'.repeat(40) }), message: 'after', date: '2018-01-08T00:00:00Z' },
  ]);
  const host = await startGitHost({ repositories });
  return {
    host,
    repositories,
    commits,
    imposter: blog[2]!,
    library,
    close: async () => {
      await host.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function libraryFiles(commits: WorldCommits): Record<string, string> {
  const maintainers = 'Maintainers: A. Person <a@imagevet.example> (@a)\n';
  return {
    'library/blog': `${maintainers}GitRepo: https://github.com/acme/blog.git\n\nTags: 4-web, 4, latest\nArchitectures: amd64, arm64v8\nGitCommit: ${commits.blog}\nDirectory: web\n`,
    'library/runtime': `# generated\n\n${maintainers}GitRepo: git://github.com/acme/runtime\n\n\nTags: 7.0-web, 7-web\nArchitectures: amd64, arm64v8\nGitCommit: ${commits.runtime}\nDirectory: 7/web\n`,
    'library/rootfs': `${maintainers}GitRepo: https://github.com/acme/rootfs.git\nGitCommit: ${'9'.repeat(40)}\nArchitectures: amd64, arm64v8\n# per architecture\namd64-GitFetch: refs/heads/dist-amd64\namd64-GitCommit: ${commits.rootfsAmd64}\narm64v8-GitFetch: refs/heads/dist-arm64v8\narm64v8-GitCommit: ${commits.rootfsArm64}\n\nTags: slim\nDirectory: slim\n`,
  };
}

function readmes(commits: WorldCommits): Record<string, string> {
  const readme = (items: string) =>
    `<!--\nWARNING\n-->\n\n# Supported tags and respective \`Dockerfile\` links\n\n${items}\n# What?\n`;
  const link = (tags: string, path: string, repository: string, commit: string) =>
    `-\t[${tags} (*${path}*)](https://github.com/acme/${repository}/blob/${commit}/${path})\n`;
  return {
    'blog/README.md': readme(link('`4-web`, `4`, `latest`', 'web/Dockerfile', 'blog', commits.blog)),
    'runtime/README.md': readme(link('`7.0-web`, `7-web`', '7/web/Dockerfile', 'runtime', commits.runtime)),
    'rootfs/README.md': readme(link('`slim`', 'slim/Dockerfile', 'rootfs', commits.rootfsAmd64)),
  };
}
