import { ImagevetError, RegistryClient, resolveImage } from '@imagevet/registry';
import { makeTar } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  available,
  dockerHost,
  freePort,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { ProvenanceSource, SourceEntry, SourceHost } from '../lineage/types.ts';
import { dockerEngineBuilder } from './engine/docker-engine-builder.ts';
import { planRebuild } from './plan-rebuild.ts';
import { rebuild } from './rebuild.ts';
import type { BuildRequest } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const code = (expected: string) => expect.objectContaining({ code: expected });

describe.skipIf(!available('docker-engine', 'docker-registry'))('dockerEngineBuilder()', () => {
  let registry: RunningService;
  const client = new RegistryClient({ attempts: 2 });
  const builderOf = (extra = {}) =>
    dockerEngineBuilder({ dockerHost, registry: client, network: 'host', ...extra });
  const request = (dockerfile: string, context: readonly SourceEntry[] = []): BuildRequest => ({
    dockerfile,
    context,
    platform,
    target: {
      registry: registry.host,
      repository: 'test/app',
      tag: `t${Math.random().toString(36).slice(2)}`,
    },
  });

  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });

  test('tells what engine it is', async () => {
    expect(await builderOf().probe()).toMatchObject({ version: expect.stringMatching(/^\d+\./) as string });
  });

  test('rebuilds a family of four levels with a shared base and a multi-stage child, each on the one before', async () => {
    const rootfs = await makeTar([
      { path: 'etc/', mode: 0o755 },
      { path: 'etc/os-release', content: 'ID=test\n' },
    ]);
    const dockerfiles: Record<string, string> = {
      'base-1': 'FROM scratch\nADD rootfs.tar /\nCMD ["/none"]\n',
      'lib-1': 'ARG V=1\nFROM base:${V}\nCOPY lib /lib/\n',
      'tool-1': 'FROM base:1\nCOPY tool /bin/\n',
      'app-1':
        'FROM tool:1 AS t\nFROM lib:1\nCOPY --from=t /bin/tool /bin/tool\nCOPY --from=tool:1 /etc/os-release /tool-release\nENV A=1\n',
      'top-1': 'FROM app:1\nLABEL x=y\n',
    };
    const contexts: Record<string, readonly SourceEntry[]> = {
      'base-1': [{ path: 'rootfs.tar', type: 'file', content: rootfs }],
      'lib-1': [{ path: 'lib', type: 'file', content: Buffer.from('lib') }],
      'tool-1': [{ path: 'tool', type: 'executable', content: Buffer.from('#!/bin/sh\n') }],
    };
    const repository = 'https://git.example/family';
    const source: ProvenanceSource = {
      kind: 'official-images',
      async *claims({ reference }) {
        const directory = `${reference.repository.replace('library/', '')}-${reference.tag}`;
        yield {
          kind: 'official-images',
          foundAt: 'x',
          location: { repository, commit: 'a'.repeat(40), directory, path: `${directory}/Dockerfile` },
        };
      },
    };
    const host: SourceHost = {
      supports: () => true,
      readFile: async (_repository, _commit, path) => ({
        content: Buffer.from(dockerfiles[path.split('/')[0] ?? ''] ?? ''),
        url: path,
      }),
      async *readDirectory(_repository, _commit, directory) {
        yield* contexts[directory] ?? [];
      },
      commitOf: async () => 'a'.repeat(40),
      reachability: async () => 'reachable',
    };
    const lineage = await resolveLineage('top:1', { sources: [source], host });
    const plan = planRebuild([lineage], { target: { registry: registry.host, repositoryPrefix: 'vetted' } });
    const log: string[] = [];
    const result = await rebuild(plan, {
      builder: builderOf(),
      host,
      onProgress: (event) => event.type === 'step-log' && log.push(event.text),
    });
    expect(
      result.outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.message : outcome.status)),
    ).toEqual(Array(5).fill('built'));
    expect(log.some((line) => line.startsWith('Step 1/'))).toBe(true);
    const diffIds = async (name: string) => {
      const outcome = result.outcomes.find(({ step }) => step.startsWith(`docker.io/library/${name}:`));
      if (outcome?.status !== 'built') throw new Error(`${name} was not built`);
      return (await resolveImage(outcome.image.reference, { source: client })).diffIds;
    };
    const [base, lib, app, top] = await Promise.all(['base', 'lib', 'app', 'top'].map(diffIds));
    expect(lib?.slice(0, base?.length)).toEqual(base);
    expect(app?.slice(0, lib?.length)).toEqual(lib);
    expect(top).toEqual(app);
    expect(app).toHaveLength((lib?.length ?? 0) + 2);
  });

  test('names the line of a RUN that fails', async () => {
    const failing = request('FROM local/debian:bookworm-slim\nENV A=1\nRUN true && \\\n  exit 42\nRUN true');
    const error = await builderOf()
      .build(failing)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'BUILD_FAILED', details: { line: 3, exitCode: 42 } });
    expect(String(error)).toContain('in line 3');
  });

  test('refuses nothing silently: an unknown base and a missing file are failures', async () => {
    await expect(
      builderOf().build(request(`FROM ${registry.host}/no/such@${`sha256:${'0'.repeat(64)}`}`)),
    ).rejects.toThrow(code('BUILD_FAILED'));
    await expect(builderOf().build(request('FROM scratch\nCOPY missing /'))).rejects.toThrow(
      code('BUILD_FAILED'),
    );
  });

  test('stops a build in its RUN when aborted, with the reason', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const building = builderOf().build(
      request(`FROM local/debian:bookworm-slim\nRUN echo ${Math.random()} && sleep 600`),
      {
        signal: controller.signal,
        onProgress: (event) =>
          event.type === 'build-log' && event.text.includes('Running in') && controller.abort(reason),
      },
    );
    await expect(building).rejects.toBe(reason);
  });

  test('gives up at its time limit', async () => {
    const slow = request(`FROM local/debian:bookworm-slim\nRUN echo ${Math.random()} && sleep 600`);
    await expect(builderOf({ timeoutMs: 1500 }).build(slow)).rejects.toThrow(code('BUILD_LIMIT_EXCEEDED'));
  });

  test('says that a registry cannot be reached', async () => {
    const nowhere = {
      ...request('FROM scratch\nLABEL a=b\nCOPY x /', [
        { path: 'x', type: 'file', content: Buffer.from('x') },
      ]),
    };
    const target = { ...nowhere.target, registry: `127.0.0.1:${await freePort()}` };
    await expect(builderOf().build({ ...nowhere, target })).rejects.toThrow(code('PUSH_FAILED'));
  });
});

describe('dockerEngineBuilder() without an engine', () => {
  test.each([['unix:///nowhere/docker.sock'], ['tcp://127.0.0.1:1']])(
    'says that %s cannot be reached',
    async (address) => {
      const builder = dockerEngineBuilder({ dockerHost: address, registry: new RegistryClient() });
      const error = await builder.probe().catch((reason: unknown) => reason);
      expect(ImagevetError.is(error) && error.code).toBe('ENGINE_UNREACHABLE');
    },
  );

  test('refuses an address it does not understand', async () => {
    const builder = dockerEngineBuilder({ dockerHost: 'ssh://host', registry: new RegistryClient() });
    await expect(builder.probe()).rejects.toThrow(code('INVALID_OPTIONS'));
  });
});
