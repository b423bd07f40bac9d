// A tag that the library lists for other platforms alone, while its description still leads to the source of one of them.
import { parsePlatform, parseReference } from '@imagevet/registry';
import { pushTestImage } from '@imagevet/registry/testing';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../../errors.ts';
import { defaultPolicy } from '../../policy/default-policy.ts';
import { evaluate } from '../../policy/evaluate.ts';
import { dockerHubSource } from '../../provenance/docker-hub/source.ts';
import { ociAnnotationSource } from '../../provenance/image/annotations.ts';
import { officialImagesSource } from '../../provenance/official-images/source.ts';
import { serveDockerHub } from '../__fixtures__/docker-hub.ts';
import type { ResolveLineageOptions } from '../options.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import type { Lineage, SourceHost } from '../types.ts';

const COMMIT = 'a'.repeat(40);
const HEAD = `Maintainers: A B <a@b.example> (@ab)\nGitRepo: https://git.example/family.git\nGitCommit: ${COMMIT}\n`;
const link = (name: string) =>
  `# Supported tags and respective \`Dockerfile\` links\n\n-\t[\`1\`](https://git.example/family/blob/${COMMIT}/${name}/Dockerfile)\n`;
const FILES: Readonly<Record<string, string>> = {
  'library/tool': `${HEAD}\nTags: 1\nArchitectures: amd64, s390x\nDirectory: tool\n`,
  'library/base': `${HEAD}\nTags: 1\nArchitectures: amd64, arm64v8\nDirectory: base\n\nTags: win\nArchitectures: windows-amd64\nDirectory: win\n`,
  'tool/README.md': link('tool'),
  'base/README.md': link('base').replace('`1`', '`1`, `win`'),
  'tool/Dockerfile': 'FROM base:1\nCOPY --from=base:win /x /x\n',
  'base/Dockerfile': 'FROM scratch\nADD rootfs.tar /\n',
};
const BASE = 'docker.io/library/base:1 linux/s390x';

const host: SourceHost = {
  supports: () => true,
  readFile: async (_repository, _commit, path) => {
    const text = FILES[path];
    if (text === undefined) throw new CoreError('SOURCE_NOT_FOUND', `no ${path}`);
    return { content: Buffer.from(text), url: `https://git.example/${path}` };
  },
  async *readDirectory() {},
  commitOf: async () => COMMIT,
  reachability: async () => 'reachable',
};

function resolve(name: string, options: Partial<ResolveLineageOptions> = {}): Promise<Lineage> {
  const sources = [ociAnnotationSource(), officialImagesSource({ host }), dockerHubSource({ host })];
  const platform = parsePlatform('linux/s390x');
  return resolveLineage(name, { sources, host, platform, asOf: new Date('2018-08-01'), ...options });
}

const nodeOf = (lineage: Lineage, id: string) => lineage.nodes.find((node) => node.id === id);
const codesOf = (lineage: Lineage, id: string) =>
  lineage.gaps.filter(({ node }) => node === id).map(({ code }) => code);

describe('resolveLineage() of a tag that is not listed for the platform', () => {
  test('does not follow its description, and says why on node, edge and policy', async () => {
    const lineage = await resolve('tool:1');
    const base = nodeOf(lineage, BASE);
    expect(base).toMatchObject({ end: 'unresolved', dockerfile: { status: 'not-named' } });
    expect(base?.claims).toMatchObject([
      {
        kind: 'official-images',
        notListed: { platform: 'linux/s390x', listedFor: ['linux/amd64', 'linux/arm64/v8'] },
      },
      { kind: 'docker-hub-description', location: { path: 'base/Dockerfile' } },
    ]);
    const why =
      /official-images lists its name for linux\/amd64, linux\/arm64\/v8 as of 2018-08-01T.*, and not for linux\/s390x/;
    expect(codesOf(lineage, BASE)).toEqual(['PLATFORM_NOT_LISTED', 'BASE_UNRESOLVED']);
    for (const gap of lineage.gaps.filter(({ node }) => node === BASE)) expect(gap.message).toMatch(why);
    expect(lineage.conflicts).toContainEqual({
      ...{ node: BASE, about: 'source' },
      statements: [
        expect.objectContaining({ kind: 'official-images', value: 'none for linux/s390x' }),
        expect.objectContaining({
          kind: 'docker-hub-description',
          value: `https://git.example/family ${COMMIT} base`,
        }),
      ],
    });
    for (const kind of ['base', 'copy-from']) {
      const [dockerfile, listed] = lineage.edges.find((edge) => edge.kind === kind)?.evidence ?? [];
      expect(dockerfile).toMatchObject({ kind: 'dockerfile', verdict: 'supports' });
      expect(listed).toMatchObject({ kind: 'official-images', verdict: 'neutral' });
      expect(listed?.message).toMatch(/not for linux\/s390x$/);
    }
    const facts = { requested: 'tool:1', lineage, findings: [], comparisons: {}, gaps: [] };
    const { reasons } = evaluate(defaultPolicy, [], facts, new Date('2026-01-01'));
    const said = reasons
      .filter(({ node }) => node === BASE)
      .map(({ code, message }) => `${code}: ${message}`);
    expect(said).toContainEqual(expect.stringMatching(/^lineage\.unresolved: .*and not for linux\/s390x/));
    expect(said).toContainEqual(expect.stringMatching(/^lineage\.conflict: .*none for linux\/s390x/));
  });

  test('does not follow it either where the description is of the platform that is asked about', async () => {
    const lineage = await resolve('base:win', { platform: parsePlatform('linux/amd64') });
    expect(lineage.nodes).toMatchObject([{ end: 'unresolved', dockerfile: { status: 'not-named' } }]);
    expect(lineage.conflicts).toMatchObject([{ about: 'source' }]);
  });

  test('follows it where the tag is listed', async () => {
    const lineage = await resolve('base:1', { platform: parsePlatform('linux/arm64') });
    expect(lineage.nodes).toMatchObject([{ end: 'rootfs-import', dockerfile: { kind: 'official-images' } }]);
    expect(lineage.conflicts).toEqual([]);
  });

  describe('with a registry', () => {
    const hub = serveDockerHub('all');

    test('lets what an image says of itself stand beside it', async () => {
      await pushTestImage(hub.client, parseReference('base:1'), {
        ...{ layers: [[{ path: 'etc/x', content: 'x' }]], history: [{ created_by: 'ADD file:0 in / ' }] },
        config: { architecture: 's390x' },
        annotations: {
          'org.opencontainers.image.source': `https://git.example/family.git#${COMMIT}:base`,
          'org.opencontainers.image.revision': COMMIT,
        },
      });
      const lineage = await resolve('base:1', { registry: hub.client, asOf: 'now' });
      expect(lineage.nodes).toMatchObject([{ dockerfile: { status: 'found', kind: 'oci-annotation' } }]);
      expect(lineage.conflicts).toMatchObject([
        { statements: [{ kind: 'oci-annotation' }, { kind: 'official-images' }] },
      ]);
    });

    test('throws for an image that no registry has and no list either', async () => {
      await expect(resolve('base:win', { registry: hub.client })).rejects.toMatchObject({
        code: 'NOT_FOUND',
      });
    });
  });
});
