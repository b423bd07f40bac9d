import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Digest, RegistryClient } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource, SourceHost } from './types.ts';

const REPOSITORY = 'https://git.example/family';
const COMMIT = 'c'.repeat(40);

/** What a build by the classic builder exercises; `HOST` stands for the registry. */
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

const ready = available('docker-engine', 'docker-registry', 'docker');

describe.skipIf(!ready)('resolveLineage() of what a real engine built', () => {
  const directory = ready ? mkdtempSync(join(tmpdir(), 'imagevet-lineage-')) : '';
  const built = new Set<string>();
  let registry: RunningService;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    writeFileSync(join(directory, 'file.txt'), 'content\n');
    execFileSync('tar', ['-cf', 'rootfs.tar', 'file.txt'], { cwd: directory });
    for (const name of Object.keys(FAMILY)) await build(name, text(name));
  }, 120_000);

  afterAll(async () => {
    for (const id of [...built].reverse()) await docker('rmi', '--force', id);
    await registry?.close();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  // Asynchronous: a registry whose log nobody reads stops answering.
  async function docker(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, DOCKER_BUILDKIT: '0', DOCKER_HOST: dockerHost };
    return (await promisify(execFile)('docker', args, { cwd: directory, env })).stdout.trim();
  }

  async function build(name: string, dockerfile: string): Promise<void> {
    writeFileSync(join(directory, 'Dockerfile'), dockerfile);
    const tag = `${registry.host}/family/${name}:1`;
    const id = await docker('build', '--no-cache', '--network', 'host', '-q', '-t', tag, '.');
    built.add(id);
    await docker('push', '-q', tag);
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
    const client = new RegistryClient();
    return resolveLineage(`${registry.host}/family/${name}:1`, { registry: client, sources: [source], host });
  }

  const grades = (lineage: Lineage) =>
    lineage.edges.filter(({ kind }) => kind === 'base').map(({ grade }) => grade);

  test('proves every edge, and every Dockerfile fits its history', async () => {
    const lineage = await resolve('app');
    expect(lineage.nodes.map(({ dockerfile }) => dockerfile.inconsistency)).toEqual(
      Array.from({ length: 4 }, () => undefined),
    );
    expect(lineage.nodes.map(({ dockerfile }) => dockerfile.consistency)).toEqual(
      Array.from({ length: 4 }, () => 'consistent'),
    );
    expect(grades(lineage)).toEqual(['proven', 'proven', 'proven']);
    expect(lineage.nodes.at(-1)?.end).toBe('scratch');
    expect(lineage.gaps).toEqual([]);
  });

  test.each([
    ['app', 'CMD serve --all', 'HEALTHCHECK NONE', 5],
    ['base', 'ENV A=', 'ENV C=', 4],
    ['middle', 'USER 1000', 'USER 0', 7],
  ])('finds the wrong instruction of %s', async (name, right, wrong, line) => {
    const lineage = await resolve('app', { [name]: text(name).replace(right, wrong) });
    const node = lineage.nodes.find(({ reference }) => reference.repository === `family/${name}`);
    expect(node?.dockerfile).toMatchObject({ consistency: 'inconsistent', inconsistency: { line } });
  });

  test('aligns RUN under every shell', async () => {
    await build('runs', RUNS);
    const dockerfile = { runs: RUNS };
    const node = (await resolve('runs', dockerfile)).nodes[0];
    expect(node?.dockerfile.inconsistency).toBeUndefined();
    expect(node?.dockerfile.consistency).toBe('consistent');
    const wrong = (await resolve('runs', { runs: RUNS.replace('in bash', 'elsewhere') })).nodes[0];
    expect(wrong?.dockerfile.inconsistency).toMatchObject({ line: 9 });
  }, 60_000);

  test('contradicts a claimed digest, and no longer proves a rebuilt parent', async () => {
    await build('middle', `${text('middle')}\nCOPY file.txt /new.txt\n`);
    const moved = await resolve('app', { middle: `${text('middle')}\nCOPY file.txt /new.txt\n` });
    expect(grades(moved)[0]).toBe('claimed');
    const reference = `${registry.host}/family/middle:1`;
    const digest = moved.nodes[1]?.image?.manifest.digest as Digest;
    const lied = await resolve('app', {}, { reference, digest });
    expect(grades(lied)[0]).toBe('contradicted');
  }, 60_000);
});
