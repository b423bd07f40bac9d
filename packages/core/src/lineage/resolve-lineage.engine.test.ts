import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Digest, formatReference, parseReference, RegistryClient } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  buildkitHost,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { imageLabelSource } from '../provenance/image/labels.ts';
import { buildkitBuilder } from '../rebuild/buildkit/buildkit-builder.ts';
import type { Builder } from '../rebuild/types.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource, SourceHost } from './types.ts';

const REPOSITORY = 'https://git.example/family';
const COMMIT = 'c'.repeat(40);

/** What both builders build; `HOST` stands for the registry. */
const FAMILY: Readonly<Record<string, string>> = {
  root: 'FROM scratch\nADD rootfs.tar /\nCMD ["/bin/true"]\n',
  base: [
    'FROM HOST/family/root:1',
    'ARG VERSION=1',
    'ARG WORDS="two words"',
    'ENV A="one two" \\',
    '    B=2',
    'WORKDIR /srv',
    'COPY --chown=1:1 file.txt renamed.txt',
    'ADD file.txt /added.txt',
    'LABEL title="a \\"quoted\\" label"',
  ].join('\n'),
  middle: [
    'ARG BASE=HOST/family/base',
    'FROM ${BASE}:1 AS start',
    'SHELL ["/bin/bash", "-o", "pipefail", "-c"]',
    'VOLUME /data /more',
    'HEALTHCHECK --interval=5s CMD test -e /added.txt',
    'EXPOSE 80/tcp 53/udp',
    'USER 1000',
    'STOPSIGNAL SIGTERM',
    'ENTRYPOINT run it',
    'FROM start',
    'COPY file.txt /second.txt',
  ].join('\n'),
  app: 'FROM HOST/family/middle:1\nWORKDIR /app\nENV LAST yes it is\nCOPY file.txt .\nCMD serve --all\n',
};

/** Needs a shell, hence a base that has one. */
const RUNS = [
  'FROM local/debian:bookworm-slim',
  'ARG VERSION=1',
  'RUN set -eux; \\',
  '\t# why',
  '\techo "tab\tinside" > /x; \\',
  '',
  '\techo $VERSION',
  'SHELL ["/bin/bash", "-c"]',
  'RUN echo "in bash"',
  'RUN ["/bin/echo", "exec"]',
  'CMD done',
].join('\n');

const PLATFORM = { os: 'linux', architecture: 'amd64' };
const LABELS = 'org.opencontainers.image.base';

describe.each([
  ['the classic builder', 'classic', available('docker-engine', 'docker-registry', 'docker', 'tar')],
  ['BuildKit', 'buildkit', available('docker-engine', 'buildkit', 'docker-registry', 'docker', 'tar')],
] as const)('resolveLineage() of what %s built', (_name, kind, ready) => {
  const directory = ready ? mkdtempSync(join(tmpdir(), 'imagevet-lineage-')) : '';
  const client = new RegistryClient();
  const built = new Set<string>();
  const pins: Record<string, string> = {};
  let registry: RunningService;
  let buildkit: Builder;

  beforeAll(async () => {
    if (!ready) return;
    registry = await startDockerRegistry();
    buildkit = buildkitBuilder({
      ...{ registry: client, address: buildkitHost ?? '', engine: true, network: 'host' },
    });
    writeFileSync(join(directory, 'file.txt'), 'content\n');
    execFileSync('tar', ['-cf', 'rootfs.tar', 'file.txt'], { cwd: directory });
    const debian = `${registry.host}/debian:1`;
    await docker('tag', 'local/debian:bookworm-slim', debian);
    await docker('push', '-q', debian);
    await docker('rmi', debian);
    await pin('debian:1', 'docker.io/local/debian:bookworm-slim');
    for (const name of Object.keys(FAMILY)) await build(name, text(name));
  }, 180_000);

  afterAll(async () => {
    for (const id of [...built].reverse()) await docker('rmi', '--force', id);
    await buildkit?.release?.();
    await client.close();
    await registry?.close();
    if (ready) rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  // Asynchronous: a registry whose log nobody reads stops answering.
  async function docker(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, DOCKER_BUILDKIT: '0', DOCKER_HOST: dockerHost };
    return (await promisify(execFile)('docker', args, { cwd: directory, env })).stdout.trim();
  }

  async function pin(path: string, name: string): Promise<void> {
    const reference = parseReference(`${registry.host}/${path}`);
    const { digest } = await client.resolve(reference);
    pins[name] = formatReference({ ...reference, tag: undefined, digest });
  }

  async function build(name: string, dockerfile: string, version = '1'): Promise<void> {
    const tag = `${registry.host}/family/${name}:${version}`;
    if (kind === 'classic') {
      writeFileSync(join(directory, 'Dockerfile'), dockerfile);
      const id = await docker('build', '--no-cache', '--network', 'host', '-q', '-t', tag, '.');
      built.add(id);
      await docker('push', '-q', tag);
      return;
    }
    await buildkit.build({
      ...{ dockerfile, unedited: { dockerfile, pins }, platform: PLATFORM, replace: true },
      context: ['file.txt', 'rootfs.tar'].map((path) => ({
        ...{ path, type: 'file', content: readFileSync(join(directory, path)) },
      })),
      target: parseReference(tag),
    });
    await pin(`family/${name}:${version}`, tag);
  }

  const text = (name: string): string => (FAMILY[name] ?? '').replaceAll('HOST', registry.host);

  function resolve(
    name: string,
    changed: Readonly<Record<string, string>> = {},
    base?: ProvenanceClaim['base'],
  ): Promise<Lineage> {
    const source: ProvenanceSource = {
      kind: 'oci-annotation',
      async *claims({ reference }) {
        const path = reference.repository.replace('family/', '');
        const location = { repository: REPOSITORY, commit: COMMIT, directory: '.', path };
        const own = path === name && base !== undefined ? { base } : {};
        yield { kind: 'oci-annotation', foundAt: 'annotations', location, ...own };
      },
    };
    const host: SourceHost = {
      supports: () => true,
      readFile: async (_repository, _commit, path) => ({
        content: Buffer.from(changed[path] ?? text(path)),
        url: `${REPOSITORY}/${path}`,
      }),
      async *readDirectory() {},
      commitOf: async () => COMMIT,
      reachability: async () => 'reachable',
    };
    const sources = [source, imageLabelSource()];
    return resolveLineage(`${registry.host}/family/${name}:1`, { registry: client, sources, host });
  }

  const grades = (lineage: Lineage) =>
    lineage.edges.filter(({ kind }) => kind === 'base').map(({ grade }) => grade);

  const run = test.skipIf(!ready);

  run('proves every edge, and every Dockerfile fits its history', async () => {
    const lineage = await resolve('app');
    expect(lineage.nodes.map(({ dockerfile }) => dockerfile.inconsistency)).toEqual(
      Array.from({ length: 4 }, () => undefined),
    );
    expect(lineage.nodes.map(({ dockerfile }) => dockerfile.consistency)).toEqual(
      Array.from({ length: 4 }, () => 'consistent'),
    );
    expect(grades(lineage)).toEqual(['proven', 'proven', 'proven']);
    expect(lineage.nodes.at(-1)?.end).toBe('rootfs-import');
    expect(lineage.gaps).toEqual([]);
  });

  run.each([
    ['app', 'CMD serve --all', 'HEALTHCHECK NONE', 5],
    ['base', 'ENV A=', 'ENV C=', 4],
    ['middle', 'USER 1000', 'USER 0', 7],
    ['root', 'CMD ["/bin/true"]', 'CMD ["/bin/false"]', 3],
    ['base', 'COPY --chown=1:1 file.txt renamed.txt', 'COPY --chown=2:1 file.txt renamed.txt', 7],
    ['middle', 'EXPOSE 80/tcp 53/udp', 'EXPOSE 80/tcp', 6],
    ['middle', 'VOLUME /data /more\n', '', 4],
    ['app', 'WORKDIR /app\n', 'WORKDIR /app\nVOLUME /app\n', 3],
  ])('finds the wrong instruction of %s', async (name, right, wrong, line) => {
    const lineage = await resolve('app', { [name]: text(name).replace(right, wrong) });
    const node = lineage.nodes.find(({ reference }) => reference.repository === `family/${name}`);
    expect(node?.dockerfile).toMatchObject({ consistency: 'inconsistent', inconsistency: { line } });
  });

  run(
    'aligns RUN under every shell',
    async () => {
      await build('runs', RUNS);
      const dockerfile = { runs: RUNS };
      const node = (await resolve('runs', dockerfile)).nodes[0];
      expect(node?.dockerfile.inconsistency).toBeUndefined();
      expect(node?.dockerfile.consistency).toBe('consistent');
      const wrong = (await resolve('runs', { runs: RUNS.replace('in bash', 'elsewhere') })).nodes[0];
      expect(wrong?.dockerfile.inconsistency).toMatchObject({ line: 9 });
    },
    60_000,
  );

  run(
    'contradicts a claimed digest, and no longer proves a rebuilt parent',
    async () => {
      // The same Dockerfile once more: the classic builder writes the same layers at another time.
      if (kind === 'classic') {
        await build('middle', text('middle'));
        expect(grades(await resolve('app'))).toEqual(['claimed', 'proven', 'proven']);
      }
      await build('middle', `${text('middle')}\nCOPY file.txt /new.txt\n`);
      const moved = await resolve('app', { middle: `${text('middle')}\nCOPY file.txt /new.txt\n` });
      expect(grades(moved)[0]).toBe('claimed');
      const reference = `${registry.host}/family/middle:1`;
      const digest = moved.nodes[1]?.image?.manifest.digest as Digest;
      const lied = await resolve('app', {}, { reference, digest });
      expect(grades(lied)[0]).toBe('contradicted');
    },
    60_000,
  );

  run(
    'contradicts a label that lies about its base, and believes one that does not',
    async () => {
      await build('base', 'FROM scratch\nCOPY file.txt /other.txt\n', '2');
      const { digest } = await client.resolve(parseReference(`${registry.host}/family/base:2`));
      const truth = await client.resolve(parseReference(`${registry.host}/family/base:1`));
      const honest = `FROM ${registry.host}/family/base:1\nCOPY file.txt /x\n`;
      const claiming = (claimed: string) =>
        `${honest}LABEL ${LABELS}.name="${registry.host}/family/base:1" ${LABELS}.digest="${claimed}"\n`;
      await build('liar', claiming(digest));
      const lying = await resolve('liar', { liar: claiming(digest) });
      expect(grades(lying)).toEqual(['contradicted', 'proven']);
      expect(lying.edges[0]?.evidence).toContainEqual(
        expect.objectContaining({ kind: 'image-label', verdict: 'refutes' }),
      );
      await build('teller', claiming(truth.digest));
      expect(grades(await resolve('teller', { teller: claiming(truth.digest) }))).toEqual([
        'proven',
        'proven',
      ]);
    },
    60_000,
  );
});
