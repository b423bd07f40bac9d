// Resolving every official image from git mirrors: a generated library of the real one's size, in processes of their own, cold and with what
// the run before kept. IMAGEVET_CATALOG (a directory with bare clones, `<owner>+<name>`) measures real ones instead.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createRepository } from '../packages/registry/src/testing/index.ts';
import { findProgram } from '../test/services.ts';
import { findMirrors, mirrorOf } from '../test/truth/mirrors.ts';
import { absent, type ClaimOutcome, judge } from './claim.ts';

/** What a run of `catalog-run.ts` measured. */
export interface CatalogRun {
  readonly milliseconds: number;
  readonly megabytes: number;
  readonly entries: number;
  readonly builds: number;
  /** Builds whose Dockerfile was read. */
  readonly resolved: number;
  readonly reads: number;
  /** Git objects read twice or more. */
  readonly twice: number;
}

/** What `catalog-run.ts` reads, as its argument. */
export interface CatalogPlan {
  readonly official: string;
  readonly remotes: Readonly<Record<string, string>>;
  readonly cache: string;
}

const FILES = 144;
const REPOSITORIES = 130;
const ENTRIES = 2121;
const ARCHITECTURES = ['amd64', 'arm32v7', 'arm64v8', 'ppc64le', 'riscv64', 's390x'];
const NAMES = {
  cold: 'lineage.catalog-cold-vs-ten-seconds',
  warm: 'lineage.catalog-warm-vs-one-second',
  memory: 'lineage.catalog-memory-vs-300MB',
  reads: 'lineage.catalog-git-objects-read-once',
};

/** Runs the comparison; returns what came of each claim. */
export async function benchLineageCatalog(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const claims = await measure(print);
  for (const { line } of claims) print(line);
  return claims.map(({ outcome }) => outcome);
}

async function measure(print: (line: string) => void) {
  if (findProgram('git') === undefined) return Object.values(NAMES).map((name) => absent(name, 1));
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  try {
    const real = process.env.IMAGEVET_CATALOG;
    const mirrors = real === undefined ? await generate(directory) : realMirrors(real);
    const plan = join(directory, 'plan.json');
    writeFileSync(
      plan,
      JSON.stringify({ ...mirrors, cache: join(directory, 'cache.json') } satisfies CatalogPlan),
    );
    const cold = await run(plan);
    const warm = await run(plan);
    if (real === undefined && (cold.entries !== ENTRIES || cold.resolved !== cold.builds)) {
      throw new Error(`expected all of ${ENTRIES} entries, received ${JSON.stringify(cold)}`);
    }
    print(
      `${cold.entries} entries, ${cold.builds} builds, ${cold.resolved} Dockerfiles found, ${cold.reads} objects read`,
    );
    const peak = Math.max(cold.megabytes, warm.megabytes);
    const within = (name: string, ours: number, limit: number, unit: string) =>
      judge({ name, ours: `${ours}${unit}`, peer: `${limit}${unit}`, ratio: limit / ours, goal: 1 });
    return [
      within(NAMES.cold, cold.milliseconds, 10_000, 'ms'),
      within(NAMES.warm, warm.milliseconds, 1000, 'ms'),
      within(NAMES.memory, peak, 300, 'MB'),
      judge({
        ...{ name: NAMES.reads, ours: `${cold.reads}`, peer: `${cold.reads - cold.twice}` },
        ...{ ratio: (cold.reads - cold.twice) / cold.reads, goal: 1 },
      }),
    ];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function run(plan: string): Promise<CatalogRun> {
  const script = join(import.meta.dirname, 'catalog-run.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, script, plan]);
  return JSON.parse(stdout) as CatalogRun;
}

function realMirrors(directory: string): Omit<CatalogPlan, 'cache'> {
  const mirrors = findMirrors(directory);
  return { official: mirrorOf(mirrors, 'docker-library/official-images'), remotes: mirrors.remotes };
}

/** Files of four levels, each built on the ones above; a sixth of them also copies from another image. */
async function generate(directory: string): Promise<Omit<CatalogPlan, 'cache'>> {
  const remotes: Record<string, string> = {};
  const files = Array.from({ length: FILES }, (_, index) => ({
    name: `image-${index}`,
    entries: Math.floor(((index + 1) * ENTRIES) / FILES) - Math.floor((index * ENTRIES) / FILES),
  }));
  const repositories = Array.from({ length: REPOSITORIES }, (): Record<string, string> => ({}));
  for (const [index, { name, entries }] of files.entries()) {
    for (let entry = 0; entry < entries; entry += 1) {
      repositories[index % REPOSITORIES]![`${name}/${entry}/Dockerfile`] = dockerfileOf(index, entry);
    }
  }
  const commits: string[] = [];
  for (const [index, tree] of repositories.entries()) {
    const path = join(directory, `repository-${index}`);
    const created = await createRepository(path, [{ files: tree, message: 'Publish', date: '2020-01-01' }]);
    commits.push(created.commits[0]!);
    remotes[`https://github.com/example/repository-${index}`] = path;
  }
  const library = files.map(({ name, entries }, index) => {
    const paragraphs = Array.from({ length: entries }, (_, entry) => {
      const tags = [`${entry}.0.1`, `${entry}.0`, `${entry}`, ...(entry === 0 ? ['latest'] : [])];
      return `Tags: ${tags.join(', ')}\nDirectory: ${name}/${entry}`;
    });
    const head = [
      'Maintainers: A. Person <a@imagevet.example> (@a)',
      `GitRepo: https://github.com/example/repository-${index % REPOSITORIES}.git`,
      `GitCommit: ${commits[index % REPOSITORIES]}`,
      `Architectures: ${ARCHITECTURES.slice(0, 2 + (index % 5)).join(', ')}`,
    ];
    return [`library/${name}`, `${[head.join('\n'), ...paragraphs].join('\n\n')}\n`];
  });
  const official = join(directory, 'official-images');
  await createRepository(official, [
    { files: Object.fromEntries(library), message: 'Publish', date: '2020-01-02' },
  ]);
  return { official, remotes };
}

function dockerfileOf(index: number, entry: number): string {
  const above = (distance: number) => `image-${Math.max(index - distance * 5, index % 5)}`;
  const from = index < 5 ? 'scratch' : `${above(7)}:0`;
  const lines = [`# image ${index}, entry ${entry}`, `FROM ${from}`];
  for (let step = 0; step < 8 + (entry % 12); step += 1) {
    lines.push(
      `ENV NAME_${step}="value ${entry}" OTHER_${step}=x`,
      'RUN set -eux; \\',
      '    # a comment in between',
      `    apt-get install -y --no-install-recommends tool-${step}=1.${entry}; \\`,
      `    curl -fsSL https://example.com/${index}/tool-${step}.tar.gz -o /tmp/t.tgz; \\`,
      '    rm -rf /var/lib/apt/lists/*',
    );
  }
  if (index >= 5 && entry % 6 === 0) lines.push(`COPY --from=${above(3)}:latest /tool /tool`);
  return [...lines, 'CMD ["/srv/run"]', ''].join('\n');
}
