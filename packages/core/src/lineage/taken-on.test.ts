// What a `--platform` takes is the image of that platform, not of the one that is asked about.
import { type Platform, parseReference, type ResolvedImage } from '@imagevet/registry';
import { pushTestImage, pushTestIndex } from '@imagevet/registry/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { planRebuild } from '../rebuild/plan/plan-rebuild.ts';
import { serveDockerHub } from './__fixtures__/docker-hub.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceHost } from './types.ts';

const REPOSITORY = 'https://git.example/org/family';
const COMMIT = 'e'.repeat(40);
const ARM: Platform = { os: 'linux', architecture: 'arm64' };
const AMD: Platform = { os: 'linux', architecture: 'amd64' };

const hub = serveDockerHub('all');
beforeAll(async () => {
  const base = await pushOn('base', [AMD, ARM]);
  await pushTestIndex(hub.client, parseReference('base:1'), base);
  await pushTestIndex(hub.client, parseReference('tool:1'), await pushOn('tool', [AMD]));
  // Every platform of the child stands on amd64's base, as a builder makes it.
  await pushTestIndex(hub.client, parseReference('app:1'), await pushOn('app', [AMD, ARM], base[0]));
});

function pushOn(
  name: string,
  platforms: readonly Platform[],
  base?: ResolvedImage,
): Promise<ResolvedImage[]> {
  return Promise.all(
    platforms.map(({ architecture }) =>
      pushTestImage(hub.client, parseReference(`${name}:${architecture}`), {
        ...(base === undefined ? {} : { base }),
        ...{ layers: [[{ path: name, content: `${name} ${architecture}` }]], config: { architecture } },
        history: [{ created: '2018-01-01T00:00:00Z', created_by: `COPY ${name} / # buildkit` }],
      }),
    ),
  );
}

function resolve(app: string, buildPlatform?: Platform, platform = ARM): Promise<Lineage> {
  const files: Record<string, string> = {
    app,
    base: 'FROM scratch\nCOPY base /\n',
    tool: 'FROM scratch\nCOPY tool /\n',
  };
  const source: ProvenanceSource = {
    kind: 'buildkit-attestation',
    async *claims({ reference }) {
      const path = reference.repository.replace('library/', '');
      const location = { repository: REPOSITORY, commit: COMMIT, directory: '.', path };
      const on = buildPlatform === undefined || path !== 'app' ? {} : { buildPlatform };
      yield { kind: 'buildkit-attestation', foundAt: 'index', location, ...on };
    },
  };
  const host: SourceHost = {
    supports: () => true,
    readFile: async (_repository, _commit, path) => ({ content: Buffer.from(files[path] ?? ''), url: path }),
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
  return resolveLineage('app:1', { registry: hub.client, sources: [source], host, platform });
}

const idsOf = ({ nodes }: Lineage) => nodes.map(({ id }) => id.replace('docker.io/library/', ''));

describe('resolveLineage() of what a --platform takes', () => {
  test('proves a base of another platform, and names it by that platform', async () => {
    const lineage = await resolve('FROM --platform=linux/x86_64 base:1\nCOPY app /\n');
    expect(idsOf(lineage)).toEqual(['app:1 linux/arm64', 'base:1 linux/amd64']);
    expect(lineage.edges.map(({ grade }) => grade)).toEqual(['proven']);
    expect(lineage.nodes[1]).toMatchObject({ platform: AMD, image: { platform: AMD } });
    expect(lineage.nodes[0]?.dockerfile.consistency).toBe('consistent');
  });

  test('does not take the amd64 image for the base where no --platform says so', async () => {
    const lineage = await resolve('FROM base:1\nCOPY app /\n');
    expect(idsOf(lineage)).toEqual(['app:1 linux/arm64', 'base:1 linux/arm64']);
    expect(lineage.edges.map(({ grade }) => grade)).toEqual(['claimed']);
  });

  test('looks at the tool that ran on the platform the build ran on, as far as it is known', async () => {
    const text = [
      'FROM --platform=$BUILDPLATFORM tool:1 AS build',
      'FROM --platform=linux/amd64 base:1',
      'COPY --from=build app /',
    ].join('\n');
    const known = await resolve(text, AMD);
    expect(idsOf(known)).toEqual(['app:1 linux/arm64', 'base:1 linux/amd64', 'tool:1 linux/amd64']);
    expect(known.nodes[2]?.image?.platform).toEqual(AMD);
    expect(known.gaps).toEqual([]);
    const unknown = await resolve(text);
    expect(idsOf(unknown).at(-1)).toBe('tool:1 linux/arm64');
    expect(unknown.gaps.map(({ code }) => code)).toEqual(['PLATFORM_NOT_FOUND']);
  });

  test('plans to take it as it is, since a plan is for one platform', async () => {
    const lineage = await resolve('FROM --platform=linux/amd64 base:1\nCOPY app /\n');
    const plan = planRebuild([lineage], {
      target: { registry: 'registry.corp', repositoryPrefix: 'vetted' },
    });
    expect(plan.steps.map(({ id }) => id)).toEqual(['docker.io/library/app:1 linux/arm64']);
    expect(plan.steps[0]?.inputs).toMatchObject([
      { kind: 'base', pinned: lineage.nodes[1]?.image?.manifest.digest },
    ]);
    expect(plan.gaps).toMatchObject([
      { code: 'NOT_REBUILDABLE', node: 'docker.io/library/base:1 linux/amd64' },
    ]);
  });
});
