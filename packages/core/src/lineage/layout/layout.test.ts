// An official image that is not built but taken over: the layout in its repository is held against what the registry shows.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImagevetError, openOciLayout, parseReference, resolveImage } from '@imagevet/registry';
import { pushTestImage, type TestImage } from '@imagevet/registry/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditLineage } from '../../audit/audit.ts';
import { CoreError } from '../../errors.ts';
import { defaultPolicy } from '../../policy/default-policy.ts';
import { evaluate } from '../../policy/evaluate.ts';
import type { Facts } from '../../policy/types.ts';
import { officialImagesSource } from '../../provenance/official-images/source.ts';
import { planRebuild } from '../../rebuild/plan/plan-rebuild.ts';
import { serveDockerHub } from '../__fixtures__/docker-hub.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import type { Lineage, SourceHost } from '../types.ts';
import { layoutSource } from './layout-source.ts';

const COMMIT = 'a'.repeat(40);
const HEAD = `Maintainers: A B <a@b.example> (@ab)\nGitRepo: https://git.example/distro.git\nGitCommit: ${COMMIT}\n`;
const LIBRARY: Readonly<Record<string, string>> = {
  'library/distro': `${HEAD}Builder: oci-import\nFile: index.json\n\nTags: 9\nDirectory: 9/oci\n`,
  'library/app': `${HEAD}\nTags: 1\nDirectory: app\n`,
  'app/Dockerfile': 'FROM distro:9\nCOPY app /\n',
};
const IMAGE: TestImage = {
  layers: [[{ path: 'etc/os-release', content: 'distro 9' }]],
  history: [{ created: '2026-01-01T00:00:00Z', created_by: '# debian.sh' }],
  config: { config: { Cmd: ['bash'] } },
};

let directory: string;
const hub = serveDockerHub('all');
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'imagevet-imported-'));
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
});

const reference = parseReference('distro:9');

/** The files of a layout with one image, as a repository has them below `9/oci`. */
async function layoutOf(image: TestImage): Promise<(path: string) => Uint8Array | undefined> {
  const folder = mkdtempSync(join(directory, 'layout-'));
  await pushTestImage(await openOciLayout(folder, { create: true }), reference, image);
  return (path) => {
    try {
      return readFileSync(join(folder, path.replace(/^9\/oci\//, '')));
    } catch {
      return undefined;
    }
  };
}

function hostOf(read: (path: string) => Uint8Array | undefined): SourceHost {
  return {
    supports: () => true,
    readFile: async (_repository, _commit, path) => {
      const text = LIBRARY[path];
      const content = text === undefined ? read(path) : Buffer.from(text);
      if (content === undefined) throw new CoreError('SOURCE_NOT_FOUND', `no ${path}`);
      return { content, url: `https://git.example/${path}` };
    },
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
}

async function resolve(read: (path: string) => Uint8Array | undefined, name = 'distro:9'): Promise<Lineage> {
  const host = hostOf(read);
  return resolveLineage(name, { registry: hub.client, host, sources: [officialImagesSource({ host })] });
}

function reasonsOf(lineage: Lineage, rule: string, extra: Partial<Facts> = {}): readonly string[] {
  const findings = auditLineage(lineage);
  const plan = planRebuild([lineage], { target: { registry: 'r.example', repositoryPrefix: 'v' } });
  const facts = { requested: 'x', lineage, findings, plan, comparisons: {}, gaps: [], ...extra };
  const { reasons } = evaluate(defaultPolicy, [], facts, new Date('2026-01-01'));
  return reasons.filter((reason) => reason.rule === rule).map(({ code }) => code);
}

describe('resolveLineage() of an image that is taken over from an OCI layout', () => {
  test('finds it to be the image, byte for byte', async () => {
    const { manifest } = await pushTestImage(hub.client, reference, IMAGE);
    const lineage = await resolve(await layoutOf(IMAGE));
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({
      ...{ status: 'imported', consistency: 'consistent' },
      layout: { match: 'manifest', manifest: manifest.digest },
    });
    expect(lineage.gaps).toEqual([]);
    expect(reasonsOf(lineage, 'lineage.consistent')).toEqual(['lineage.consistent']);
  });

  test('finds it to be the image under a manifest with annotations of the builder', async () => {
    await pushTestImage(hub.client, reference, {
      ...IMAGE,
      annotations: { 'com.docker.official-images.bashbrew.arch': 'amd64' },
    });
    const lineage = await resolve(await layoutOf(IMAGE));
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({
      consistency: 'consistent',
      layout: { match: 'config' },
    });
  });

  test('finds the same content under another time', async () => {
    await pushTestImage(hub.client, reference, {
      ...IMAGE,
      config: { ...IMAGE.config, created: '2026-02-02T00:00:00Z' },
    });
    const lineage = await resolve(await layoutOf(IMAGE));
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({
      consistency: 'consistent',
      layout: { match: 'content' },
    });
  });

  test.each<[string, TestImage, RegExp]>([
    [
      'another layer',
      { ...IMAGE, layers: [[{ path: 'etc/os-release', content: 'evil' }]] },
      /layer 0 of the layout is sha256:.*, of the image sha256:/,
    ],
    [
      'one layer more',
      { ...IMAGE, layers: [...IMAGE.layers!, [{ path: 'x', content: 'x' }]], history: [] },
      /layer 1 of the layout is no layer/,
    ],
    [
      'another command',
      { ...IMAGE, config: { config: { Cmd: ['evil'] } } },
      /Cmd of its configuration is another/,
    ],
    [
      'an entrypoint',
      { ...IMAGE, config: { config: { Cmd: ['bash'], Entrypoint: ['evil'] } } },
      /Entrypoint of its configuration/,
    ],
  ])('says that the published image has %s', async (_name, published, difference) => {
    await pushTestImage(hub.client, reference, published);
    const lineage = await resolve(await layoutOf(IMAGE));
    expect(lineage.nodes[0]?.dockerfile).toMatchObject({
      ...{ consistency: 'inconsistent', layout: { match: 'none' } },
      inconsistency: { message: expect.stringMatching(difference) as string },
    });
    expect(reasonsOf(lineage, 'lineage.consistent')).toEqual(['lineage.layout-differs']);
    const plan = planRebuild([lineage], { target: { registry: 'r.example', repositoryPrefix: 'v' } });
    expect(plan.steps).toEqual([]);
    expect(plan.gaps.map(({ message }) => message)).toEqual([
      expect.stringContaining('the layout is another image'),
    ]);
  });

  test('says that a layout without its blobs could not be held against it', async () => {
    await pushTestImage(hub.client, reference, IMAGE);
    const read = await layoutOf(IMAGE);
    const lineage = await resolve((path) => (path.includes('blobs') ? undefined : read(path)));
    expect(lineage.nodes[0]?.dockerfile.consistency).toBe('unchecked');
    expect(lineage.gaps.map(({ code, message }) => [code, message])).toEqual([
      [
        'SOURCE_NOT_FOUND',
        expect.stringContaining('could not be held against 9/oci/index.json of https://git.example/distro'),
      ],
    ]);
    expect(reasonsOf(lineage, 'lineage.consistent')).toContain('lineage.consistency-unchecked');
  });

  test('is taken over, alone and as a base', async () => {
    const base = await pushTestImage(hub.client, reference, IMAGE);
    const history = [{ created: '2026-01-02T00:00:00Z', created_by: 'COPY app / # buildkit' }];
    await pushTestImage(hub.client, parseReference('app:1'), {
      base,
      layers: [[{ path: 'app', content: 'a' }]],
      history,
    });
    const lineage = await resolve(await layoutOf(IMAGE), 'app:1');
    const plan = planRebuild([lineage], { target: { registry: 'r.example', repositoryPrefix: 'v' } });
    expect(plan.gaps).toEqual([]);
    const id = lineage.nodes[1]!.id;
    expect(plan.steps).toMatchObject([
      { id, layout: { digest: base.manifest.digest, match: 'manifest' }, location: { commit: COMMIT } },
      { id: lineage.root, inputs: [{ step: id, name: 'r.example/v/library/distro:9' }] },
    ]);
    const descriptor = { digest: `sha256:${'0'.repeat(64)}` };
    const image = { descriptor, reference: { ...plan.steps[0]!.scratch, ...descriptor } };
    const outcomes = [{ step: id, status: 'built', image }];
    const rebuild = { plan: plan.id, outcomes } as unknown as Facts['rebuild'];
    // Whatever was taken over, it is not what the layout holds.
    expect(reasonsOf(lineage, 'rebuild.complete', { rebuild })).toContain('rebuild.other-image');
  });
});

describe('layoutSource()', () => {
  const location = {
    repository: 'https://git.example/distro',
    commit: COMMIT,
    directory: '9/oci',
    path: '9/oci/index.json',
  };
  const image = (read: (path: string) => Uint8Array | undefined) =>
    resolveImage(reference, { source: layoutSource(hostOf(read), location) });

  test('follows a blob that is a link to a file beside it, as hosts give it, and believes only its digest', async () => {
    const read = await layoutOf(IMAGE);
    const linked = (path: string) => {
      const name = /^9\/oci\/blobs\/sha256\/(\w+)$/.exec(path)?.[1];
      if (name !== undefined) return Buffer.from(`../file-${name}.json`);
      const file = /^9\/oci\/blobs\/file-(\w+)\.json$/.exec(path)?.[1];
      return read(file === undefined ? path : `9/oci/blobs/sha256/${file}`);
    };
    const found = await image(linked);
    expect(found.diffIds).toEqual((await image(read)).diffIds);
    const altered = (path: string) => {
      const content = linked(path);
      return path.includes('/file-') ? Buffer.concat([content!, Buffer.from(' ')]) : content;
    };
    await expect(image(altered)).rejects.toSatisfy(ImagevetError.is);
  });

  test('follows no link out of the repository, and none for ever', async () => {
    const read = await layoutOf(IMAGE);
    const asked: string[] = [];
    for (const link of [
      '../../../../../etc/passwd',
      '/etc/passwd',
      '.',
      '',
      'a\nb',
      'x'.repeat(2000),
      '../sha256/loop',
    ]) {
      const hostile = (path: string) => {
        asked.push(path);
        return path.includes('blobs') ? Buffer.from(link) : read(path);
      };
      await expect(image(hostile)).rejects.toSatisfy(ImagevetError.is);
    }
    expect(asked.filter((path) => !path.startsWith('9/oci/'))).toEqual([]);
    expect(asked.length).toBeLessThan(7 * 5);
  });

  test('takes whatever a repository holds', async () => {
    const read = await layoutOf(IMAGE);
    const whole = Buffer.from(read('9/oci/index.json')!);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.uint8Array({ maxLength: 6 }),
        fc.boolean(),
        async (at, bytes, isBlob) => {
          const alter = (content: Uint8Array | undefined) =>
            content === undefined
              ? undefined
              : Buffer.concat([content.subarray(0, at), bytes, content.subarray(at + bytes.length)]);
          try {
            await image((path) => (path.includes('blobs') === isBlob ? alter(read(path)) : read(path)));
          } catch (error) {
            expect(ImagevetError.is(error)).toBe(true);
          }
        },
      ),
    );
  });
});
