// Resolving a lineage beside the tools everyone has: git reads the same sources, skopeo the same images. All read
// from the same hosts in this process, which count what they are asked.
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseDockerfile, publicServices, resolveLineage } from '../packages/core/src/index.ts';
import { findProgram } from '../test/services.ts';
import { absent, type ClaimOutcome, judge, medians } from './claim.ts';
import { type Family, startFamily } from './lineage-family.ts';
import { benchLatency } from './lineage-latency.ts';

const DEPTH = 8;
const ROUNDS = 5;

/** Runs the comparison; returns what came of each claim. */
export async function benchLineage(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const claims = [...(await benchResolving()), await benchLatency(), await benchParsing()];
  for (const { line } of claims) print(line);
  return claims.map(({ outcome }) => outcome);
}

async function benchResolving() {
  const names = {
    git: 'lineage.git-requests-per-image-vs-git',
    registry: 'lineage.registry-requests-per-image-vs-skopeo',
    time: 'lineage.time-vs-git-and-skopeo',
  };
  if (findProgram('git') === undefined || findProgram('skopeo') === undefined) {
    return Object.values(names).map((name) => absent(name, 1));
  }
  const family = await startFamily({ depth: DEPTH });
  try {
    const asked = { ours: { git: 0, registry: 0 }, peer: { git: 0, registry: 0 } };
    const counting = async (who: 'ours' | 'peer', work: () => Promise<void>) => {
      const before = family.requests();
      await work();
      const after = family.requests();
      asked[who] = { git: after.git - before.git, registry: after.registry - before.registry };
    };
    const [ours, peer] = await medians(
      [
        () => counting('ours', () => withOurs(family)),
        (round) => counting('peer', () => withTools(family, round)),
      ] as const,
      ROUNDS,
    );
    const perImage = (count: number) => (count / DEPTH).toFixed(1);
    const requests = (name: string, kind: 'git' | 'registry') =>
      judge({
        ...{ name, ours: perImage(asked.ours[kind]), peer: perImage(asked.peer[kind]) },
        ...{ ratio: asked.peer[kind] / asked.ours[kind], goal: 1 },
      });
    return [
      requests(names.git, 'git'),
      requests(names.registry, 'registry'),
      judge({
        ...{ name: names.time, ours: `${Math.round(ours)}ms`, peer: `${Math.round(peer)}ms` },
        ...{ ratio: peer / ours, goal: 1 },
      }),
    ];
  } finally {
    await family.close();
  }
}

async function withOurs({ registryUrl, hubUrl, gitUrl }: Family): Promise<void> {
  // New each round: nothing is known from the round before.
  const services = publicServices({ hosts: { 'docker.io': { url: registryUrl } }, hubUrl, gitUrl });
  const { registry, sources, host } = services;
  const platform = { os: 'linux', architecture: 'amd64' };
  try {
    const lineage = await resolveLineage('app-0:1', { registry, sources, host, platform });
    const proven = lineage.edges.filter(({ grade }) => grade === 'proven').length;
    if (lineage.nodes.length !== DEPTH || proven !== DEPTH - 1) {
      throw new Error(`expected ${DEPTH} images, received ${JSON.stringify(lineage.gaps)}`);
    }
  } finally {
    await registry.close();
  }
}

/** The same by hand: where the sources are, the Dockerfile at its commit, whether a branch holds it, the image. */
async function withTools(family: Family, round: number): Promise<void> {
  const directory = join(family.directory, `round-${round}`);
  const clone = async (name: string) => {
    const path = join(directory, name.replace('/', '--'));
    await run('git', 'clone', '--quiet', '--bare', family.cloneUrl(name), path);
    return (...args: readonly string[]) => run('git', '-C', path, ...args);
  };
  const library = await clone('docker-library/official-images');
  let image = 'app-0';
  for (let depth = 0; image !== 'scratch'; depth += 1) {
    const entry = await library('show', `HEAD:library/${image}`);
    const commit = /^GitCommit: (\S+)$/m.exec(entry)?.[1] ?? '';
    const source = await clone(`example/${image}`);
    const dockerfile = await source('show', `${commit}:web/Dockerfile`);
    const branches = await source('for-each-ref', `--contains=${commit}`);
    const reference = `docker://${family.registryHost}/library/${image}:1`;
    const config = JSON.parse(await run('skopeo', 'inspect', '--tls-verify=false', '--config', reference));
    if (branches === '' || config.rootfs.diff_ids.length !== DEPTH - depth) {
      throw new Error(`${image} was read wrongly`);
    }
    image = /^FROM ([^:\s]+)/.exec(dockerfile)?.[1] ?? 'scratch';
  }
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(program, args)).stdout;
}

interface PlainInstruction {
  getKeyword(): string;
  getArguments(): readonly { getValue(): string }[];
  getFlags?(): readonly { getName(): string; getValue(): string | null }[];
}

interface PlainParser {
  parse(text: string): {
    getInstructions(): readonly PlainInstruction[];
    getFROMs(): readonly { getImage(): string | null; getBuildStage(): string | null }[];
  };
}

/** Our parser checks, expands and relates; the plain reading only takes what the tree of dockerfile-ast offers. */
async function benchParsing() {
  const load = createRequire(new URL('../packages/core/package.json', import.meta.url));
  const { DockerfileParser } = load('dockerfile-ast') as { readonly DockerfileParser: PlainParser };
  const corpus = Array.from({ length: 200 }, (_, seed) => dockerfileOf(seed));
  let stages = 0;
  const [ours, peer] = await medians(
    [
      () => {
        for (const text of corpus) stages += parseDockerfile(text).stages.length;
      },
      () => {
        for (const text of corpus) {
          const file = DockerfileParser.parse(text);
          for (const instruction of file.getInstructions()) {
            instruction.getKeyword();
            for (const argument of instruction.getArguments()) argument.getValue();
            for (const flag of instruction.getFlags?.() ?? []) flag.getValue();
          }
          for (const from of file.getFROMs()) if (from.getImage() !== null) stages -= 1;
        }
      },
    ] as const,
    9,
  );
  if (stages !== 0) throw new Error('the two read a different number of stages');
  const bytes = corpus.reduce((sum, text) => sum + text.length, 0);
  const rate = (time: number) => `${(bytes / 1000 / time).toFixed(1)}MB/s`;
  return judge({
    ...{ name: 'lineage.parse-vs-dockerfile-ast', ours: rate(ours), peer: rate(peer) },
    ...{ ratio: peer / ours, goal: 0.5 },
  });
}

function dockerfileOf(seed: number): string {
  const lines = ['# syntax=docker/dockerfile:1', `ARG VERSION=${seed}`, 'FROM golang:1 AS build'];
  for (let step = 0; step < 5 + (seed % 20); step += 1) {
    lines.push(
      `ENV NAME_${step}="value ${seed}" OTHER_${step}=x`,
      `COPY --chown=1000:1000 src/${step} package.json /srv/${step}/`,
      'RUN set -eux; \\',
      '    # a comment in between',
      `    apt-get install -y --no-install-recommends tool-${step}=1.${seed}; \\`,
      `    curl -fsSL https://example.com/v\${VERSION}/tool-${step}.tar.gz -o /tmp/t.tgz && \\`,
      '    rm -rf /var/lib/apt/lists/*',
    );
  }
  return [...lines, 'FROM debian:$VERSION', 'COPY --from=build /srv /srv', 'CMD ["/srv/run"]', ''].join('\n');
}
