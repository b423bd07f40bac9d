// Attack row 37: where a lineage cannot be known it is not guessed, and the verdict says what could not be known.
import { type HistoryEntry, parseReference, type ResolvedImage } from '@imagevet/registry';
import { pushTestImage, type TestImage } from '@imagevet/registry/testing';
import { describe, expect, test } from 'vitest';
import { serveDockerHub } from '../lineage/__fixtures__/docker-hub.ts';
import type { ProvenanceClaim, ProvenanceSource } from '../lineage/types.ts';
import type { VetReport } from '../report/types.ts';
import { vet } from './vet.ts';

const hub = serveDockerHub('all');

const made = (created_by: string): HistoryEntry => ({
  ...{ created: '2018-01-01T00:00:00Z', created_by, comment: 'buildkit.dockerfile.v0' },
});
const layer = (name: string): TestImage => ({
  layers: [[{ path: name, content: name }]],
  history: [made(`COPY ${name} / # buildkit`)],
});
const push = (name: string, image: TestImage): Promise<ResolvedImage> =>
  pushTestImage(hub.client, parseReference(name), image);

type Said = Partial<ProvenanceClaim> & Pick<ProvenanceClaim, 'kind'>;

/** What is said of each image, by name without its tag. */
function judge(said: Readonly<Record<string, readonly Said[]>>, image = 'app:1'): Promise<VetReport> {
  const source: ProvenanceSource = {
    kind: 'oci-annotation',
    async *claims({ reference }) {
      for (const claim of said[reference.repository.replace('library/', '')] ?? []) {
        yield { foundAt: claim.kind, ...claim };
      }
    },
  };
  const host = {
    supports: () => false,
    readFile: async () => Promise.reject(new Error('nobody is asked')),
    async *readDirectory() {},
    commitOf: async () => '',
    reachability: async () => 'unchecked' as const,
  };
  return vet(image, { registry: hub.client, sources: [source], host });
}
const from = (base: string, rest = 'COPY app /'): Said => ({
  ...{ kind: 'buildkit-attestation', dockerfile: `FROM ${base}\n${rest}\n` },
});
const naming = (reference: string, kind: ProvenanceClaim['kind'] = 'oci-annotation'): Said => ({
  ...{ kind, base: { reference } },
});
const failed = ({ verdict }: VetReport, rule: string) =>
  verdict.reasons.filter((reason) => reason.rule === rule && reason.outcome !== 'pass');
const codes = (report: VetReport, rule: string) => failed(report, rule).map(({ code }) => code);
const baseEdges = ({ lineage }: VetReport) => lineage.edges.filter(({ kind }) => kind === 'base');

describe('row 37: two plausible parents', () => {
  test('of equal layers, and nothing names either: neither is taken', async () => {
    const base = await push('left:1', layer('base'));
    await push('right:1', layer('base'));
    await push('app:1', { base, ...layer('app') });
    const report = await judge({});
    expect(report.verdict.decision).toBe('deny');
    expect(report.lineage.nodes[0]?.end).toBe('unresolved');
    expect(report.lineage.edges).toEqual([]);
    expect(codes(report, 'lineage.complete')).toContain('lineage.unresolved');
  });

  test('of equal layers and other histories, each named by somebody: denied, with both', async () => {
    const base = await push('left:1', layer('base'));
    await push('right:1', { ...layer('base'), history: [made('COPY other / # buildkit')] });
    await push('app:1', { base, ...layer('app') });
    const report = await judge({ app: [naming('left:1'), naming('right:1', 'docker-hub-description')] });
    expect(report.verdict.decision).toBe('deny');
    const [conflict] = failed(report, 'lineage.consistent').filter(({ code }) => code === 'lineage.conflict');
    expect(conflict?.message).toContain('oci-annotation says left:1');
    expect(conflict?.message).toContain('docker-hub-description says right:1');
    // What only one of the two can be is proven all the same, by layers and history.
    expect(baseEdges(report).map(({ name, grade }) => [name, grade])).toEqual([['left:1', 'proven']]);
  });

  test('of equal layers and one history under two names are one image: no conflict', async () => {
    const base = await push('left:1', layer('base'));
    await push('right:1', layer('base'));
    await push('app:1', { base, ...layer('app') });
    const report = await judge({ app: [naming('left:1'), naming('right:1', 'docker-hub-description')] });
    expect(codes(report, 'lineage.consistent')).not.toContain('lineage.conflict');
  });
});

describe('row 37: a squashed image', () => {
  const squash = async () => {
    const base = await push('base:1', layer('base'));
    await push('app:1', {
      layers: [['base', 'app'].map((name) => ({ path: name, content: name }))],
      history: [made('merge sha256:1 to sha256:2')],
    });
    return base;
  };

  test('at a tag proves nothing and refutes nothing, and is denied as not checked', async () => {
    await squash();
    const report = await judge({ app: [from('base:1')] });
    expect(report.verdict.decision).toBe('deny');
    const [edge] = baseEdges(report);
    expect(edge?.grade).toBe('claimed');
    expect(edge?.evidence.at(-1)).toMatchObject({ kind: 'layers', verdict: 'neutral' });
    const doubts = ['lineage.consistency-unchecked', 'lineage.dockerfile-inconsistent'];
    expect(
      codes(report, 'lineage.consistent').filter((code) => doubts.includes(code)).length,
    ).toBeGreaterThan(0);
  });

  test('at a digest it names itself is a contradiction', async () => {
    const { manifest } = await squash();
    const report = await judge({ app: [from(`base:1@${manifest.digest}`)] });
    expect(report.verdict.decision).toBe('deny');
    expect(baseEdges(report)[0]?.grade).toBe('contradicted');
    expect(codes(report, 'lineage.consistent')).toContain('lineage.edge-contradicted');
  });
});

test('row 37: a parent nobody has is a hole, and no other image is put there', async () => {
  const base = await push('left:1', layer('base'));
  await push('app:1', { base, ...layer('app') });
  const report = await judge({ app: [from('gone:1')] });
  expect(report.verdict.decision).toBe('deny');
  expect(report.lineage.nodes.map(({ image }) => image !== undefined)).toEqual([true, false]);
  expect(codes(report, 'lineage.complete')).toContain('lineage.unresolved');
  expect(codes(report, 'lineage.consistent')).toContain('lineage.image-not-shown');
});

test('row 37: a cycle, and a chain without an end, are denied by name', async () => {
  const chain = Object.fromEntries(
    Array.from({ length: 60 }, (_item, at) => [`link${at}`, [from(`link${at + 1}:1`)]]),
  );
  await push('app:1', layer('app'));
  const round = await judge({ app: [from('other:1')], other: [from('app:1')] });
  expect(round.verdict.decision).toBe('deny');
  expect(codes(round, 'lineage.complete')).toContain('lineage.cycle');
  const endless = await judge({ app: [from('link0:1')], ...chain });
  expect(endless.verdict.decision).toBe('deny');
  expect(codes(endless, 'lineage.complete')).toContain('lineage.depth-limit');
});
