import { parseReference } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { auditLineage } from '../../audit/audit.ts';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { CoreError } from '../../errors.ts';
import { defaultPolicy } from '../../policy/default-policy.ts';
import { evaluate } from '../../policy/evaluate.ts';
import { officialImagesSource } from '../../provenance/official-images/source.ts';
import { planRebuild } from '../../rebuild/plan/plan-rebuild.ts';
import { lineageToDot, lineageToMermaid } from '../plot.ts';
import { resolveLineage } from '../resolve-lineage.ts';
import type { Lineage, SourceHost } from '../types.ts';
import { rootfsArchiveOf } from './rootfs.ts';

const archiveIn = (text: string) => rootfsArchiveOf(parseDockerfile(text))?.path;

describe('rootfsArchiveOf()', () => {
  test.each([
    'FROM scratch\nADD rootfs.tar.xz /\nCMD ["sh"]',
    'FROM scratch\nADD alpine-minirootfs-3.20.3-x86_64.tar.gz /',
    'FROM scratch\nENV A=1\nADD ["root fs.tar", "/"]\nLABEL a=b',
    'FROM scratch AS root\nADD --chown=0:0 rootfs.tgz /',
    'ARG V=1\nFROM other AS unused\nRUN x\nFROM scratch\nADD rootfs.tar.zst /',
  ])('finds it in %j', (text) => {
    expect(archiveIn(text)).toMatch(/root ?fs/);
  });

  test.each([
    'FROM scratch\nADD rootfs.tar.xz /\nRUN apk add x',
    'FROM scratch\nADD a.tar b.tar /',
    'FROM scratch\nADD rootfs.tar /opt',
    'FROM scratch\nADD https://example.com/rootfs.tar /',
    'FROM scratch\nCOPY rootfs.tar /',
    'FROM scratch\nADD hello /',
    'FROM scratch\nCMD ["x"]',
    'FROM debian\nADD rootfs.tar /',
    'FROM scratch AS root\nADD rootfs.tgz /\nFROM root\nCMD x',
  ])('finds none in %j', (text) => {
    expect(archiveIn(text)).toBeUndefined();
  });

  test('takes every Dockerfile that can be read', () => {
    const words = fc.constantFrom(
      'ADD',
      'COPY',
      'rootfs.tar',
      '/',
      '[',
      ']',
      '"',
      ',',
      '\\',
      '<<E',
      'E',
      '$',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 12 }), (parts) => {
        const text = `FROM scratch\nADD ${parts.join('')}`;
        try {
          expect(archiveIn(text) ?? 'x.tar').toMatch(/tar$/);
        } catch (error) {
          expect(CoreError.is(error) && error.code).toBe('INVALID_DOCKERFILE');
        }
      }),
    );
  });
});

const COMMIT = 'a'.repeat(40);
const LIBRARY = `Maintainers: A B <a@b.example> (@ab)
GitRepo: https://git.example/distro.git
GitCommit: ${COMMIT}
Builder: oci-import
File: index.json

Tags: 9
Architectures: amd64
Directory: 9/oci
`;

function hostOf(files: Readonly<Record<string, string>>): SourceHost {
  return {
    supports: () => true,
    readFile: async (_repository, _commit, path) => {
      const text = files[path];
      if (text === undefined) throw new CoreError('SOURCE_COMMIT_NOT_FOUND', `no ${path}`);
      return { content: Buffer.from(text), url: `https://git.example/${path}` };
    },
    async *readDirectory() {},
    commitOf: async () => COMMIT,
    reachability: async () => 'reachable',
  };
}

function resolve(files: Readonly<Record<string, string>>): Promise<Lineage> {
  const host = hostOf({ 'library/distro': LIBRARY, ...files });
  return resolveLineage('distro:9', { host, sources: [officialImagesSource({ host })] });
}

describe('an image that is taken over from an OCI layout', () => {
  const layout = { '9/oci/index.json': '{"schemaVersion":2,"manifests":[]}' };

  test('is a root, with its source and without a Dockerfile', async () => {
    const lineage = await resolve(layout);
    expect(lineage.nodes[0]).toMatchObject({
      end: 'rootfs-import',
      claims: [{ builder: 'oci-import' }],
      dockerfile: {
        ...{ status: 'imported', builder: 'oci-import', reachability: 'reachable' },
        location: { commit: COMMIT, path: '9/oci/index.json' },
      },
    });
    expect(lineage.nodes[0]?.dockerfile.text).toBeUndefined();
    expect(lineage.gaps).toEqual([]);
    expect(lineageToMermaid(lineage)).toContain('rootfs(("rootfs"))');
    expect(lineageToDot(lineage)).toContain('rootfs -> n0');
  });

  test('is a root too when its commit is gone', async () => {
    const lineage = await resolve({});
    expect(lineage.nodes[0]).toMatchObject({
      ...{ end: 'rootfs-import', dockerfile: { status: 'commit-unreachable' } },
    });
    expect(lineage.gaps.map(({ code }) => code)).toEqual(['SOURCE_COMMIT_NOT_FOUND']);
  });

  test('is told apart by audit, plan and policy', async () => {
    const lineage = await resolve(layout);
    const findings = auditLineage(lineage);
    expect(findings.map(({ rule, message }) => [rule, message])).toEqual([
      ['VET081', 'not audited: it is taken over from an OCI layout, and has no Dockerfile'],
      ['VET084', 'all its files come from 9/oci/index.json'],
    ]);
    const plan = planRebuild([lineage], { target: { registry: 'r.example', repositoryPrefix: 'v' } });
    expect(plan.gaps.map(({ message }) => message)).toEqual([
      expect.stringContaining('taken over from an OCI layout'),
    ]);
    const facts = { requested: 'distro:9', lineage, findings, plan, comparisons: {}, gaps: [] };
    const { reasons } = evaluate(defaultPolicy, [], facts, new Date('2026-01-01'));
    const outcome = (rule: string) =>
      reasons.filter((reason) => reason.rule === rule).map((reason) => reason.code);
    expect(outcome('lineage.complete')).toEqual(['lineage.complete']);
    expect(outcome('lineage.min-grade')).toEqual(['lineage.min-grade']);
    expect(outcome('source.available')).toEqual(['source.available']);
    const gone = { ...facts, lineage: await resolve({}) };
    expect(
      evaluate(defaultPolicy, [], gone, new Date('2026-01-01')).reasons.map(({ code }) => code),
    ).toContain('source.commit-gone');
  });
});

test('a Dockerfile that unpacks an archive is a root that can be rebuilt', async () => {
  const library = LIBRARY.replace('Builder: oci-import\nFile: index.json\n', '');
  const host = hostOf({
    'library/distro': library,
    '9/oci/Dockerfile': 'FROM scratch\nADD rootfs.tar.xz /\n',
  });
  const lineage = await resolveLineage(parseReference('distro:9'), {
    ...{ host, sources: [officialImagesSource({ host })] },
  });
  expect(lineage.nodes[0]?.end).toBe('rootfs-import');
  expect(auditLineage(lineage).map(({ rule, lines }) => [rule, lines?.startLine])).toContainEqual([
    'VET084',
    2,
  ]);
  const plan = planRebuild([lineage], { target: { registry: 'r.example', repositoryPrefix: 'v' } });
  expect(plan.steps).toHaveLength(1);
});
