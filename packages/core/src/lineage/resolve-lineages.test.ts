import { parsePlatform, parseReference, RegistryClient } from '@imagevet/registry';
import { pushTestImage, pushTestIndex, startRegistry } from '@imagevet/registry/testing';
import { beforeEach, expect, test } from 'vitest';
import { officialImagesSource } from '../provenance/official-images/source.ts';
import { serveDockerHub } from './__fixtures__/docker-hub.ts';
import { resolveLineages } from './resolve-lineages.ts';
import type { SourceHost } from './types.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const library = (arm: string): string =>
  `Maintainers: A B <a@b.example> (@ab)\nGitRepo: https://git.example/app.git\n\nTags: 1\nArchitectures: amd64, arm64v8\nGitCommit: ${A}\narm64v8-GitCommit: ${arm}\nDirectory: app\n`;

const hub = serveDockerHub('each');
beforeEach(async () => {
  const images = [];
  for (const architecture of ['amd64', 'arm64']) {
    images.push(
      await pushTestImage(hub.client, parseReference(`app:${architecture}`), {
        layers: [[{ path: 'a', content: architecture }]],
        config: { architecture },
      }),
    );
  }
  await pushTestIndex(hub.client, parseReference('app:1'), images);
});

function hostOf(arm: string): SourceHost {
  return {
    supports: () => true,
    readFile: async (_repository, commit, path) => {
      const text = path === 'library/app' ? library(arm) : `FROM scratch\n# ${commit}\n`;
      return { content: Buffer.from(text), url: `https://git.example/${commit}/${path}` };
    },
    async *readDirectory() {},
    commitOf: async () => A,
    reachability: async () => 'reachable',
  };
}
const resolve = (arm: string) => {
  const host = hostOf(arm);
  return resolveLineages('app:1', { registry: hub.client, host, sources: [officialImagesSource({ host })] });
};

test('resolveLineages() collapses platforms of one source', async () => {
  const { groups, divergences } = await resolve(A);
  expect(groups.map(({ platforms }) => platforms)).toEqual([
    [parsePlatform('linux/amd64'), parsePlatform('linux/arm64')],
  ]);
  expect(divergences).toEqual([]);
});

test('resolveLineages() tells a platform built from another commit', async () => {
  const { groups, divergences } = await resolve(B);
  expect(groups).toHaveLength(2);
  expect(divergences).toEqual([
    {
      code: 'PLATFORM_SOURCE_DIFFERS',
      values: {
        [`https://git.example/app#${A}:app/Dockerfile`]: ['linux/amd64'],
        [`https://git.example/app#${B}:app/Dockerfile`]: ['linux/arm64'],
      },
    },
  ]);
});

test('resolveLineages() reads the index and the library file once for all platforms', async () => {
  const before = hub.registry.requests.length;
  const read: string[] = [];
  const host = hostOf(A);
  const counting: SourceHost = {
    ...host,
    readFile: (...asked) => {
      read.push(asked[2]);
      return host.readFile(...asked);
    },
  };
  const sources = [officialImagesSource({ host: counting })];
  await resolveLineages('app:1', { registry: hub.client, host: counting, sources });
  const manifests = hub.registry.requests.slice(before).filter((request) => request.includes('/manifests/'));
  expect(manifests.filter((request) => request.endsWith('/manifests/1'))).toHaveLength(1);
  expect(manifests).toHaveLength(3);
  expect(read.sort()).toEqual(['app/Dockerfile', 'library/app']);
});

test('resolveLineages() needs a registry to list all platforms', async () => {
  await expect(resolveLineages('app:1', { sources: [] })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
});

test('resolveLineages() takes the one platform of an image that is no index', async () => {
  await using registry = await startRegistry();
  await using client = new RegistryClient();
  const reference = parseReference(`${registry.host}/only:1`);
  await pushTestImage(client, reference, { layers: [[]], config: { architecture: 'arm64' } });
  const { groups } = await resolveLineages(reference, { sources: [], registry: client });
  expect(groups.map(({ platforms }) => platforms)).toEqual([[parsePlatform('linux/arm64')]]);
});
