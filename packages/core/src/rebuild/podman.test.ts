import { formatReference, RegistryClient, resolveImage, scanImage } from '@imagevet/registry';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  available,
  dockerHost,
  type RunningService,
  startDockerRegistry,
} from '../../../../test/services.ts';
import { compareImages } from '../compare/compare-images.ts';
import { family } from './__fixtures__/family.ts';
import { type PodmanService, startPodman } from './__fixtures__/podman.ts';
import { dockerEngineBuilder } from './engine/docker-engine-builder.ts';
import { planRebuild } from './plan/plan-rebuild.ts';
import { rebuild } from './rebuild.ts';
import type { Builder, BuildRequest } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const GRADED = ['explained', [['Labels.io.buildah.version', true]]];
const file = (path: string, content = path) => ({
  path,
  type: 'file' as const,
  content: Buffer.from(content),
});

describe.skipIf(!available('docker-engine', 'docker-registry', 'podman'))(
  "dockerEngineBuilder() on Podman's API",
  () => {
    let registry: RunningService;
    let podman: PodmanService;
    let builder: Builder;
    let base: string;
    const client = new RegistryClient();
    const request = (dockerfile: string, context: BuildRequest['context'] = []): BuildRequest => ({
      dockerfile,
      context,
      platform,
      target: { registry: registry.host, repository: 'test/podman', tag: 't' },
    });

    beforeAll(async () => {
      registry = await startDockerRegistry();
      podman = await startPodman([registry.host]);
      builder = dockerEngineBuilder({ dockerHost: podman.dockerHost, registry: client, network: 'host' });
      // A base with a shell, from the Docker Engine beside it.
      const docker = dockerEngineBuilder({ dockerHost, registry: client });
      const image = await docker.build({
        ...request('FROM local/debian:bookworm-slim'),
        target: { registry: registry.host, repository: 'test/debian', tag: '1' },
      });
      await docker.release?.();
      base = formatReference({ ...image.reference, tag: undefined });
    }, 120_000);
    afterAll(async () => {
      await builder.release?.();
      await podman.close();
      await registry.close();
      await client.close();
    });

    test('tells that it is Podman', async () => {
      expect(await builder.probe()).toMatchObject({ name: 'Podman Engine', platform });
    });

    test('rebuilds a family of four levels, and reuses it', async () => {
      const { lineage, host, close } = await family();
      onTestFinished(close);
      const target = { registry: registry.host, repositoryPrefix: 'vetted' };
      const plan = planRebuild([await lineage()], { target });
      const { outcomes } = await rebuild(plan, { builder, host });
      expect(
        outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.message : outcome.status)),
      ).toEqual(Array(5).fill('built'));
      // The same family again, by another builder: each graded beside what Docker's builder makes of it.
      const docker = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
      const theirs = planRebuild([await lineage()], { target: { ...target, repositoryPrefix: 'theirs' } });
      const original = await rebuild(theirs, { builder: docker, host });
      await docker.release?.();
      const grades = await Promise.all(
        outcomes.map(async (outcome, index) => {
          const other = original.outcomes[index];
          if (outcome.status !== 'built' || other?.status !== 'built') throw new Error('not built');
          const [one, two] = await Promise.all(
            [other, outcome].map(({ image }) => resolveImage(image.reference, { source: client })),
          );
          const sources = { originalSource: client, rebuiltSource: client };
          const { grade, config } = await compareImages(one!, two!, sources);
          return [grade, config.map(({ field, explanation }) => [field, explanation !== undefined])];
        }),
      );
      // Podman adds a label that names its builder.
      expect(grades).toEqual(Array(5).fill(GRADED));
      const again = await rebuild(plan, { builder, host });
      expect(again.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual(
        Array(5).fill(true),
      );
    }, 120_000);

    test('copies what the repository holds, with its modes', async () => {
      const context = [
        file('Dockerfile', 'FROM public'),
        file('a/b'),
        { ...file('run.sh'), type: 'executable' as const },
      ];
      const image = await builder.build(request('FROM scratch\nCOPY . /all/', context));
      const scan = await scanImage(await resolveImage(image.reference, { source: client }), {
        source: client,
      });
      const files = scan.layers
        .flatMap(({ entries }) => entries)
        .map(({ path, mode }) => `${path.replace(/^\/|\/$/g, '')} ${(mode & 0o777).toString(8)}`);
      expect(files.filter((path) => path.startsWith('all/')).sort()).toEqual(
        ['all/Dockerfile 644', 'all/a 755', 'all/a/b 644', 'all/run.sh 755'].sort(),
      );
    }, 60_000);

    test.each([
      ['the only stage', (name: string) => `ARG V=1\nFROM ${name}\nENV A=1\nRUN true && \\\n  exit 42`, 4],
      [
        'a later stage',
        (name: string) => `FROM ${name} AS a\nRUN touch /x\nFROM ${name}\nCOPY --from=a /x /\nRUN exit 42`,
        5,
      ],
    ])(
      'names the line of a RUN that fails in %s',
      async (_name, dockerfile, line) => {
        const error = await builder.build(request(dockerfile(base))).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'BUILD_FAILED', details: { line, exitCode: 42 } });
      },
      60_000,
    );

    test('says of a build that is given up that Podman cannot stop its RUN', async () => {
      const log: string[] = [];
      const stop = new AbortController();
      const reason = new Error('enough');
      const building = builder.build(request(`FROM ${base}\nRUN echo begun && sleep 5\nRUN true`), {
        signal: stop.signal,
        onProgress: ({ text }) => {
          log.push(text);
          if (/sleep 5/.test(text)) stop.abort(reason);
        },
      });
      await expect(building).rejects.toBe(reason);
      expect(log.at(-1)).toContain('cannot stop the RUN in hand');
      const limited = dockerEngineBuilder({
        ...{ dockerHost: podman.dockerHost, registry: client, network: 'host', timeoutMs: 3000 },
      });
      await expect(limited.build(request(`FROM ${base}\nRUN sleep 6`))).rejects.toMatchObject({
        code: 'BUILD_LIMIT_EXCEEDED',
        hint: expect.stringContaining('cannot stop'),
      });
      await limited.release?.();
    }, 60_000);

    test('says that a base is missing, and that it cannot build what only BuildKit can', async () => {
      const missing = request(`FROM ${registry.host}/no/such@sha256:${'0'.repeat(64)}`);
      await expect(builder.build(missing)).rejects.toThrow(expect.objectContaining({ code: 'BUILD_FAILED' }));
      const link = request(`FROM ${base}\nCOPY --link x /`, [file('x')]);
      await expect(builder.build(link)).rejects.toThrow(
        expect.objectContaining({ code: 'BUILD_UNSUPPORTED' }),
      );
    });
  },
);
