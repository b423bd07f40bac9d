import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Gap } from '../errors.ts';
import type { LineageEdge } from '../lineage/types.ts';
import { finding, soundFacts } from './__fixtures__/facts.ts';
import { defaultPolicy } from './default-policy.ts';
import { evaluate } from './evaluate.ts';
import type { Facts, Policy, PolicyException, PolicyRule, Verdict } from './types.ts';

const time = new Date('2026-11-23T12:00:00Z');
const sound = soundFacts();
const ids = sound.lineage.nodes.map(({ id }) => id);

/** Something that goes wrong, or is missing, in one fact. */
type Fault = (facts: Facts) => Facts;

const anyNode = fc.constantFrom(...ids);

const gap: fc.Arbitrary<Gap> = fc.record({
  stage: fc.constantFrom<Gap['stage']>(
    'resolve',
    'provenance',
    'lineage',
    'audit',
    'rebuild',
    'compare',
    'trust',
  ),
  code: fc.constantFrom('SOURCE_UNREACHABLE', 'TIMEOUT'),
  message: fc.string({ maxLength: 5 }),
  node: fc.constantFrom(undefined, 'elsewhere', ...ids),
});

/** Takes evidence in favour of the image away. */
const removal: fc.Arbitrary<Fault> = fc.oneof(
  fc.constant<Fault>((facts) => ({ ...facts, plan: undefined })),
  fc.constant<Fault>((facts) => ({ ...facts, rebuild: undefined })),
  anyNode.map(
    (id): Fault =>
      (facts) => {
        const { [id]: _gone, ...comparisons } = facts.comparisons;
        return { ...facts, comparisons };
      },
  ),
  anyNode.map(
    (id): Fault =>
      (facts) =>
        facts.rebuild === undefined
          ? facts
          : {
              ...facts,
              rebuild: {
                ...facts.rebuild,
                outcomes: facts.rebuild.outcomes.filter(({ step }) => step !== id),
              },
            },
  ),
  anyNode.map(
    (id): Fault =>
      (facts) =>
        facts.plan === undefined
          ? facts
          : { ...facts, plan: { ...facts.plan, steps: facts.plan.steps.filter((step) => step.id !== id) } },
  ),
  anyNode.map((id): Fault => mapNode(id, ({ image: _image, ...node }) => node)),
  anyNode.map(
    (id): Fault => mapNode(id, (node) => ({ ...node, dockerfile: { ...node.dockerfile, text: undefined } })),
  ),
  anyNode.map(
    (id): Fault =>
      mapNode(id, (node) => ({ ...node, dockerfile: { ...node.dockerfile, reachability: 'unchecked' } })),
  ),
  anyNode.map(
    (id): Fault =>
      mapNode(id, (node) => ({ ...node, dockerfile: { ...node.dockerfile, consistency: 'unchecked' } })),
  ),
  anyNode.map((id): Fault => mapNode(id, ({ end: _end, ...node }) => node)),
  anyNode.map(
    (id): Fault =>
      mapEdge(id, (edge) => (edge.grade === 'contradicted' ? edge : { ...edge, grade: 'unknown' })),
  ),
);

const damage: fc.Arbitrary<Fault> = fc.oneof(
  removal,
  gap.map(
    (added): Fault =>
      (facts) => ({ ...facts, gaps: [...facts.gaps, added] }),
  ),
  fc
    .constantFrom<LineageEdge['grade'][]>('attested', 'claimed', 'contradicted')
    .chain((grade) => anyNode.map((id): Fault => mapEdge(id, (edge) => ({ ...edge, grade })))),
  fc
    .record({
      from: anyNode,
      to: anyNode,
      kind: fc.constantFrom<LineageEdge['kind']>('base', 'copy-from', 'frontend'),
    })
    .map(
      (added): Fault =>
        (facts) => {
          const edges = (['proven', 'claimed'] as const).map((grade) => ({
            ...added,
            grade,
            name: grade,
            evidence: [],
          }));
          return { ...facts, lineage: { ...facts.lineage, edges: [...facts.lineage.edges, ...edges] } };
        },
    ),
  anyNode.map(
    (node): Fault =>
      (facts) => ({ ...facts, findings: [...facts.findings, finding({ node, id: `f-${node}` })] }),
  ),
);

const factsArbitrary: fc.Arbitrary<Facts> = fc
  .array(damage, { maxLength: 3 })
  .map((faults) => faults.reduce((facts, fault) => fault(facts), sound));

const rule: fc.Arbitrary<PolicyRule> = fc.oneof(
  fc.constantFrom(...defaultPolicy.rules),
  fc.constant<PolicyRule>({ rule: 'lineage.platforms-agree' }),
  fc.constant<PolicyRule>({ rule: 'source.repositories', allow: ['https://github.com/*'] }),
  fc.constant<PolicyRule>({ rule: 'rebuild.frontends', allow: [] }),
);
const policy: fc.Arbitrary<Policy> = fc
  .array(rule, { maxLength: 8 })
  .map((rules) => ({ ...defaultPolicy, rules }));

const exceptions: fc.Arbitrary<readonly PolicyException[]> = fc.array(
  fc.record({
    apiVersion: fc.constant('imagevet/v1' as const),
    kind: fc.constant('Exception' as const),
    id: fc.constantFrom('A', 'B', 'C'),
    rule: fc.constantFrom(...defaultPolicy.rules.map((each) => each.rule)),
    digest: fc.constantFrom(...sound.lineage.nodes.map(({ image }) => image!.manifest.digest)),
    reason: fc.constant('because'),
    approvedBy: fc.constant('somebody'),
    expires: fc.constantFrom('2026-11-01T00:00:00Z', '2026-12-24T00:00:00Z'),
  }),
  { maxLength: 4 },
);

test('evaluate() is never better off for evidence taken away', () => {
  fc.assert(
    fc.property(policy, exceptions, factsArbitrary, removal, (given, waivers, facts, remove) => {
      const before = evaluate(given, waivers, facts, time);
      const after = evaluate(given, waivers, remove(facts), time);
      expect(before.decision === 'deny' && after.decision === 'allow').toBe(false);
      expect(!before.complete && after.complete).toBe(false);
    }),
  );
});

test('evaluate() is never better off for a gap', () => {
  fc.assert(
    fc.property(policy, exceptions, factsArbitrary, gap, (given, waivers, facts, added) => {
      const before = evaluate(given, waivers, facts, time);
      const after = evaluate(given, waivers, { ...facts, gaps: [...facts.gaps, added] }, time);
      expect(before.decision === 'deny' && after.decision === 'allow').toBe(false);
      expect(after.complete).toBe(false);
    }),
  );
});

test('evaluate() gives one verdict for the same facts in any order', () => {
  fc.assert(
    fc.property(
      policy,
      exceptions,
      factsArbitrary,
      fc.infiniteStream(fc.nat()),
      (given, waivers, facts, noise) => {
        const shuffled = shuffle(facts, noise);
        expect(evaluate(given, reorder(waivers, noise), shuffled, time)).toEqual(
          evaluate(given, waivers, facts, time),
        );
      },
    ),
  );
});

test('evaluate() holds its invariants for any facts', () => {
  fc.assert(
    fc.property(policy, exceptions, factsArbitrary, (given, waivers, facts) => {
      const frozen = structuredClone(facts);
      const verdict = evaluate(given, waivers, facts, time);
      expect(facts).toEqual(frozen);
      expect(JSON.parse(JSON.stringify(verdict))).toEqual(verdict);
      expect(verdict.decision === 'allow').toBe(verdict.pinned !== undefined);
      expect(verdict.decision === 'allow').toBe(
        verdict.reasons.every(({ outcome }) => /^(pass|waived)$/.test(outcome)),
      );
      expect(
        verdict.reasons.every(({ outcome, waivedBy }) => (outcome === 'waived') === (waivedBy !== undefined)),
      ).toBe(true);
      if (verdict.pinned !== undefined)
        expect(verdict.pinned).toMatch(/^registry\.internal\/.*@sha256:[0-9a-f]{64}$/);
      if (given.rules.length === 0) expect(verdict.decision).toBe('deny');
      if (verdict.gaps.length > 0) expect(verdict.complete).toBe(false);
      for (const given_ of given.rules) expect(covers(verdict, given_)).toBe(true);
    }),
  );
});

function covers(verdict: Verdict, { rule: name }: PolicyRule): boolean {
  return verdict.reasons.some((reason) => reason.rule === name);
}

function mapNode(
  id: string,
  change: (node: Facts['lineage']['nodes'][number]) => Facts['lineage']['nodes'][number],
): Fault {
  return (facts) => ({
    ...facts,
    lineage: {
      ...facts.lineage,
      nodes: facts.lineage.nodes.map((node) => (node.id === id ? change(node) : node)),
    },
  });
}

function mapEdge(from: string, change: (edge: LineageEdge) => LineageEdge): Fault {
  return (facts) => ({
    ...facts,
    lineage: {
      ...facts.lineage,
      edges: facts.lineage.edges.map((edge) => (edge.from === from ? change(edge) : edge)),
    },
  });
}

function reorder<T>(items: readonly T[], noise: fc.Stream<number>): readonly T[] {
  const keys = [...noise.take(items.length)];
  return items
    .map((item, index) => ({ item, key: keys[index]! }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function shuffle(facts: Facts, noise: fc.Stream<number>): Facts {
  return {
    ...facts,
    lineage: {
      ...facts.lineage,
      nodes: reorder(facts.lineage.nodes, noise),
      edges: reorder(facts.lineage.edges, noise),
    },
    findings: reorder(facts.findings, noise),
    gaps: reorder(facts.gaps, noise),
    comparisons: Object.fromEntries(reorder(Object.entries(facts.comparisons), noise)),
    ...(facts.plan && { plan: { ...facts.plan, steps: reorder(facts.plan.steps, noise) } }),
    ...(facts.rebuild && { rebuild: { ...facts.rebuild, outcomes: reorder(facts.rebuild.outcomes, noise) } }),
  };
}
