import { readFileSync } from 'node:fs';
import { digestOf, formatReference } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import type { Gap } from '../errors.ts';
import type { LineageEdge, LineageNode } from '../lineage/types.ts';
import type { RebuildInput } from '../rebuild/types.ts';
import {
  comparisonOf,
  debian,
  familiar,
  family,
  finding,
  idOf,
  image,
  php,
  soundFacts,
  wordpress,
} from './__fixtures__/facts.ts';
import { defaultPolicy } from './default-policy.ts';
import { evaluate } from './evaluate.ts';
import { describeRule } from './rules/rule-set.ts';
import type { Facts, Policy, PolicyException, PolicyRule, Verdict } from './types.ts';

const time = new Date('2026-11-23T12:00:00Z');
const sound = soundFacts();
const [top, middle, base] = [idOf(wordpress), idOf(php), idOf(debian)];
const digestOfNode = (id: string, facts: Facts = sound): PolicyException['digest'] =>
  facts.lineage.nodes.find((node) => node.id === id)!.image!.manifest.digest;

function policyOf(...rules: readonly PolicyRule[]): Policy {
  return { ...defaultPolicy, name: 'test', rules };
}

function decide(facts: Facts, rule?: PolicyRule, exceptions: readonly PolicyException[] = []): Verdict {
  return evaluate(rule === undefined ? defaultPolicy : policyOf(rule), exceptions, facts, time);
}

/** `code@node` of everything that did not pass. */
function refusals(verdict: Verdict): readonly string[] {
  return verdict.reasons
    .filter(({ outcome }) => outcome !== 'pass')
    .map(({ outcome, code, node }) => `${outcome} ${code}${node === undefined ? '' : ` ${short(node)}`}`);
}

function short(node: string): string {
  return node.split(' ')[0]!.split('/').at(-1)!.split(':')[0]!;
}

function withNode(id: string, change: (node: LineageNode) => LineageNode, facts: Facts = sound): Facts {
  const nodes = facts.lineage.nodes.map((node) => (node.id === id ? change(node) : node));
  return { ...facts, lineage: { ...facts.lineage, nodes } };
}

function withDockerfile(id: string, changes: Partial<LineageNode['dockerfile']>): Facts {
  return withNode(id, (node) => ({ ...node, dockerfile: { ...node.dockerfile, ...changes } }));
}

function withEdges(edges: readonly LineageEdge[], facts: Facts = sound): Facts {
  return { ...facts, lineage: { ...facts.lineage, edges } };
}

function withEdge(from: string, changes: Partial<LineageEdge>): Facts {
  return withEdges(sound.lineage.edges.map((edge) => (edge.from === from ? { ...edge, ...changes } : edge)));
}

function withOutcome(step: string, change: (outcome: never) => unknown): Facts {
  const outcomes = sound.rebuild!.outcomes.flatMap((outcome) =>
    outcome.step === step ? (change(outcome as never) as typeof outcome) : outcome,
  );
  return { ...sound, rebuild: { ...sound.rebuild!, outcomes } };
}

function gapOf(stage: Gap['stage'], changes: Partial<Gap> = {}): Gap {
  return { stage, code: 'SOURCE_UNREACHABLE', message: 'the host did not answer', ...changes };
}

describe('evaluate() the decision', () => {
  test('evaluate() allows what every rule passes and pins the rebuilt image by digest', () => {
    const verdict = decide(sound);
    const rebuilt = digestOf(`rebuilt ${top}`);
    expect(verdict).toMatchObject({
      decision: 'allow',
      complete: true,
      requested: 'wordpress:4.9',
      pinned: `registry.internal/vetted/library/wordpress@${rebuilt}`,
      gaps: [],
      exceptions: [],
      effectiveTime: '2026-11-23T12:00:00.000Z',
    });
    expect(verdict.reasons.map(({ rule, outcome }) => `${rule} ${outcome}`)).toEqual([
      ...defaultPolicy.rules.map(({ rule }) => `${rule} pass`),
      'pinned pass',
    ]);
  });

  test('evaluate() denies under a policy without rules', () => {
    const verdict = evaluate(policyOf(), [], sound, time);
    expect(refusals(verdict)).toEqual(['fail policy.no-rules']);
    expect(verdict).toMatchObject({ decision: 'deny' });
    expect(verdict).not.toHaveProperty('pinned');
  });

  test('evaluate() never allows a public image, whatever the policy leaves out', () => {
    const { plan: _plan, rebuild: _rebuild, ...rest } = sound;
    const verdict = decide({ ...rest, comparisons: {} }, { rule: 'audit.max-severity', deny: 'low' });
    expect(verdict).toMatchObject({ decision: 'deny', complete: false });
    expect(refusals(verdict)).toEqual(['error pinned.nothing-rebuilt']);
  });

  test('evaluate() names every failed rule, not only the first', () => {
    const facts = withDockerfile(middle, { status: 'commit-unreachable', text: undefined });
    expect(refusals(decide({ ...facts, findings: [finding()] }))).toEqual([
      'error lineage.consistency-unchecked php',
      'fail source.commit-gone php',
      'fail audit.finding wordpress',
      'error audit.not-audited php',
    ]);
  });

  test('evaluate() refuses a policy, an exception and a time that are none', () => {
    const loose = { ...defaultPolicy, default: 'allow' } as never as Policy;
    expect(() => evaluate(loose, [], sound, time)).toThrow(
      expect.objectContaining({ code: 'INVALID_POLICY' }),
    );
    const odd = { ...exception(), rule: 'lineage.everything' } as never as PolicyException;
    expect(() => evaluate(defaultPolicy, [odd], sound, time)).toThrow(
      /cannot read exception: .* at \$\.rule/,
    );
    expect(() => evaluate(defaultPolicy, [], sound, new Date('never'))).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });

  test('evaluate() names the policy by the digest of its content, not of its spelling', () => {
    const { rules, ...rest } = defaultPolicy;
    expect(decide(sound).policy).toEqual(evaluate({ rules, ...rest }, [], sound, time).policy);
    expect(decide(sound).policy.digest).not.toBe(decide(sound, { rule: 'lineage.complete' }).policy.digest);
  });
});

const frontendEdge: LineageEdge = {
  kind: 'frontend',
  from: middle,
  to: idOf(image('docker.io', 'docker/dockerfile', '1')),
  name: 'docker/dockerfile:1',
  line: 1,
  grade: 'claimed',
  evidence: [],
};

/** php's Dockerfile names a frontend, as the lineage has it: named, not followed. */
function frontendFacts(reference: Partial<LineageNode['reference']>, input?: Partial<RebuildInput>): Facts {
  const node: LineageNode = {
    id: frontendEdge.to,
    reference: { registry: 'docker.io', repository: 'docker/dockerfile', tag: '1', ...reference },
    platform: sound.lineage.platform,
    claims: [],
    dockerfile: { status: 'not-named', reachability: 'unchecked', consistency: 'unchecked' },
  };
  const lineage = {
    ...sound.lineage,
    nodes: [...sound.lineage.nodes, node],
    edges: [...sound.lineage.edges, frontendEdge],
  };
  if (input === undefined) return { ...sound, lineage };
  const inputs = [{ kind: 'frontend', reference: 'docker.io/docker/dockerfile:1', ...input } as const];
  const steps = sound.plan!.steps.map((step) => (step.id === middle ? { ...step, inputs } : step));
  return { ...sound, lineage, plan: { ...sound.plan!, steps } };
}

/** The plan builds php from its base as this input says. */
function inputFacts(input: Pick<RebuildInput, 'kind'> & Partial<RebuildInput>): Facts {
  const { reference } = sound.lineage.nodes.find(({ id }) => id === base)!;
  const inputs = [{ reference: formatReference(reference), ...input }];
  const steps = sound.plan!.steps.map((step) => (step.id === middle ? { ...step, inputs } : step));
  return { ...sound, plan: { ...sound.plan!, steps } };
}

describe('evaluate() the rules', () => {
  const built = sound.rebuild!.outcomes.find(({ step }) => step === top) as never as {
    image: { reference: object; descriptor: object };
  };
  const side = image('docker.io', 'library/composer', '2');
  const sideFacts = soundFacts([...family, { ...family[0]!, reference: side }]);
  const twoBases = withEdges([
    ...sound.lineage.edges,
    { ...sound.lineage.edges[0]!, to: base, name: 'debian:stretch-slim' },
  ]);
  const loop = withEdges([...sound.lineage.edges, { ...sound.lineage.edges[0]!, from: base, to: middle }]);

  const complete: PolicyRule = { rule: 'lineage.complete' };
  const proven: PolicyRule = { rule: 'lineage.min-grade', grade: 'proven' };
  const claimed: PolicyRule = { rule: 'lineage.min-grade', grade: 'claimed' };
  const consistent: PolicyRule = { rule: 'lineage.consistent' };
  const agreeing: PolicyRule = { rule: 'lineage.platforms-agree' };
  const available: PolicyRule = { rule: 'source.available' };
  const high: PolicyRule = { rule: 'audit.max-severity', deny: 'high' };
  const rebuilt: PolicyRule = { rule: 'rebuild.complete' };
  const explained: PolicyRule = { rule: 'compare.min-grade', grade: 'explained' };
  const repositories = (...allow: readonly string[]): PolicyRule => ({ rule: 'source.repositories', allow });
  const frontends = (...allow: readonly string[]): PolicyRule => ({ rule: 'rebuild.frontends', allow });
  const host = 'https://github.com';

  const cases: readonly (readonly [string, PolicyRule, Facts, readonly string[]])[] = [
    ['a sound lineage', complete, sound, []],
    ['one image from scratch', complete, soundFacts([family[2]!]), []],
    [
      'an unresolved base',
      complete,
      withNode(base, (node) => ({ ...node, end: 'unresolved' })),
      ['fail lineage.unresolved debian'],
    ],
    [
      'a reported cycle',
      complete,
      withNode(base, (node) => ({ ...node, end: 'cycle' })),
      ['fail lineage.cycle debian'],
    ],
    ['a cycle of edges', complete, loop, ['fail lineage.cycle php', 'fail lineage.cycle debian']],
    [
      'the depth limit',
      complete,
      withNode(base, (node) => ({ ...node, end: 'depth-limit' })),
      ['fail lineage.depth-limit debian'],
    ],
    [
      'an open end',
      complete,
      withNode(base, ({ end: _end, ...node }) => node),
      ['error lineage.open-end debian'],
    ],
    ['two bases', complete, twoBases, ['error lineage.ambiguous wordpress']],
    [
      'a lineage without the image asked about',
      complete,
      { ...sound, lineage: { ...sound.lineage, root: 'elsewhere' } },
      [
        'error lineage.malformed',
        'error lineage.malformed',
        'error lineage.malformed',
        'error lineage.malformed',
        'error pinned.nothing-rebuilt',
      ],
    ],
    [
      'two images with one id',
      complete,
      { ...sound, lineage: { ...sound.lineage, nodes: [...sound.lineage.nodes, sound.lineage.nodes[2]!] } },
      ['error lineage.malformed'],
    ],
    [
      'an edge into nothing',
      complete,
      withEdge(middle, { to: 'nowhere' }),
      ['error lineage.malformed', 'error lineage.malformed'],
    ],
    [
      'a part of the lineage not seen',
      complete,
      {
        ...sound,
        lineage: { ...sound.lineage, gaps: [gapOf('lineage', { node: middle, hint: 'Look again.' })] },
      },
      ['error lineage.not-seen php'],
    ],
    [
      'a gap about an image the lineage does not hold',
      complete,
      { ...sound, gaps: [gapOf('lineage', { node: 'elsewhere' })] },
      ['error lineage.not-seen elsewhere'],
    ],

    ['proven edges', proven, sound, []],
    ['a claimed edge', proven, withEdge(middle, { grade: 'claimed' }), ['fail lineage.edge-below-grade php']],
    ['a claimed edge where that will do', claimed, withEdge(middle, { grade: 'claimed' }), []],
    ['an unknown edge', claimed, withEdge(middle, { grade: 'unknown' }), ['error lineage.edge-unknown php']],
    [
      'a refuted edge',
      claimed,
      withEdge(middle, { grade: 'contradicted' }),
      ['fail lineage.edge-contradicted php'],
    ],
    ['no base edge', claimed, withEdges([sound.lineage.edges[0]!]), ['error lineage.edge-missing php']],
    [
      'no base edge on the way',
      claimed,
      withEdges([sound.lineage.edges[1]!]),
      ['error lineage.edge-missing wordpress'],
    ],

    ['platforms that agree', agreeing, { ...sound, divergences: [] }, []],
    ['platforms nobody looked at', agreeing, sound, ['error lineage.platforms-not-compared wordpress']],
    [
      'platforms that differ',
      agreeing,
      {
        ...sound,
        divergences: [
          { code: 'PLATFORM_SOURCE_DIFFERS', values: { a: ['linux/amd64'], none: ['linux/arm64'] } },
          { code: 'PLATFORM_BASES_DIFFER', values: { php: ['linux/arm64'], debian: ['linux/amd64'] } },
        ],
      },
      ['fail lineage.platform-bases wordpress', 'fail lineage.platform-source wordpress'],
    ],

    ['nothing contradicted', consistent, sound, []],
    [
      'a refuted edge, with its evidence',
      consistent,
      withEdge(top, {
        grade: 'contradicted',
        evidence: [{ kind: 'layers', verdict: 'refutes', message: 'layer 2 differs' }],
      }),
      ['fail lineage.edge-contradicted wordpress'],
    ],
    [
      'a refuted side input without evidence',
      consistent,
      withEdges([
        ...sound.lineage.edges,
        { ...sound.lineage.edges[0]!, kind: 'copy-from', grade: 'contradicted', evidence: [] },
      ]),
      ['fail lineage.edge-contradicted wordpress'],
    ],
    [
      'a conflict',
      consistent,
      {
        ...sound,
        lineage: {
          ...sound.lineage,
          conflicts: [
            {
              node: middle,
              about: 'source',
              statements: [
                { kind: 'official-images', foundAt: 'a', value: 'x' },
                { kind: 'image-label', foundAt: 'b', value: 'y' },
              ],
            },
          ],
        },
      },
      ['fail lineage.conflict php'],
    ],
    [
      'a Dockerfile that does not fit',
      consistent,
      withDockerfile(middle, {
        consistency: 'inconsistent',
        inconsistency: { line: 4, message: 'no RUN in the history' },
      }),
      ['fail lineage.dockerfile-inconsistent php'],
    ],
    [
      'a Dockerfile that does not fit, nobody says why',
      consistent,
      withDockerfile(middle, { consistency: 'inconsistent' }),
      ['fail lineage.dockerfile-inconsistent php'],
    ],
    [
      'a Dockerfile not held against its history',
      consistent,
      withDockerfile(middle, { consistency: 'unchecked' }),
      ['error lineage.consistency-unchecked php'],
    ],
    [
      'a Dockerfile that is missing',
      consistent,
      withDockerfile(middle, { consistency: 'unchecked', status: 'not-named', text: undefined }),
      ['error lineage.consistency-unchecked php'],
    ],
    [
      'an image no registry showed',
      consistent,
      withNode(middle, ({ image: _image, ...node }) => node),
      ['error lineage.image-not-shown php'],
    ],
    [
      'a source that could not be asked',
      consistent,
      { ...sound, gaps: [gapOf('provenance', { node: base })] },
      ['error lineage.source-not-asked debian'],
    ],

    ['every Dockerfile read', available, sound, []],
    [
      'a commit that is gone',
      available,
      withDockerfile(base, { status: 'commit-unreachable', text: undefined }),
      ['fail source.commit-gone debian'],
    ],
    [
      'a file that is missing',
      available,
      withDockerfile(base, { status: 'file-missing', text: undefined }),
      ['fail source.file-missing debian'],
    ],
    [
      'a host that does not answer',
      available,
      withDockerfile(base, { status: 'host-unreachable', text: undefined }),
      ['error source.host-unreachable debian'],
    ],
    [
      'a Dockerfile nobody names',
      available,
      withDockerfile(base, { status: 'not-named', location: undefined, text: undefined }),
      ['fail source.not-named debian'],
    ],
    [
      'a Dockerfile without text',
      available,
      withDockerfile(base, { text: undefined }),
      ['error source.not-read debian'],
    ],
    [
      'a commit of a fork',
      available,
      withDockerfile(base, { reachability: 'unreachable' }),
      ['fail source.commit-unreachable debian'],
    ],
    [
      'a commit not looked for',
      available,
      withDockerfile(base, { reachability: 'unchecked' }),
      ['error source.reachability-unchecked debian'],
    ],

    ['repositories listed', repositories(...family.map(({ repository }) => repository)), sound, []],
    [
      'repositories below a folder',
      repositories(`${host}/docker-library/*`, `${host}/debuerreotype/*`),
      sound,
      [],
    ],
    [
      'a repository not listed',
      repositories(`${host}/docker-library/*`),
      sound,
      ['fail source.repository-not-allowed debian'],
    ],
    [
      'a neighbour with the same beginning',
      repositories(`${host}/docker-library/*`, `${host}/debuerreotype/docker-debian`),
      sound,
      ['fail source.repository-not-allowed debian'],
    ],
    [
      'a repository unknown',
      repositories(`${host}/*`),
      withDockerfile(base, { location: undefined }),
      ['error source.repository-unknown debian'],
    ],
    ...[`${host}/debuerreotype/../other/x`, `${host}/a%2fb`, `${host}/`].map(
      (repository): (typeof cases)[number] => [
        `a repository spelt ${repository}`,
        repositories(`${host}/*`),
        withNode(base, (node) => ({
          ...node,
          dockerfile: { ...node.dockerfile, location: { ...node.dockerfile.location!, repository } },
        })),
        ['fail source.repository-not-allowed debian'],
      ],
    ),

    ['no finding', high, sound, []],
    ['a finding below the limit', high, { ...sound, findings: [finding({ severity: 'medium' })] }, []],
    ['a finding at the limit', high, { ...sound, findings: [finding()] }, ['fail audit.finding wordpress']],
    [
      'findings above the limit, worst image first',
      high,
      {
        ...sound,
        findings: [
          finding({ node: base, severity: 'critical', remediation: undefined }),
          finding({ node: middle, severity: 'critical' }),
        ],
      },
      ['fail audit.finding php', 'fail audit.finding debian'],
    ],
    [
      'an image not audited',
      high,
      withDockerfile(base, { text: undefined }),
      ['error audit.not-audited debian'],
    ],
    ['an audit not done', high, { ...sound, gaps: [gapOf('audit')] }, ['error audit.not-checked']],

    ['everything rebuilt', rebuilt, sound, []],
    [
      'no plan',
      rebuilt,
      { ...sound, plan: undefined, rebuild: undefined },
      ['error rebuild.not-run', 'error pinned.nothing-rebuilt'],
    ],
    [
      'a plan not run',
      rebuilt,
      { ...sound, rebuild: undefined, gaps: [gapOf('rebuild', { code: 'ENGINE_UNREACHABLE' })] },
      ['error rebuild.not-done', 'error pinned.nothing-rebuilt'],
    ],
    [
      'a plan not run, with a gap about one image',
      rebuilt,
      { ...sound, rebuild: undefined, gaps: [gapOf('rebuild', { node: base })] },
      ['error rebuild.not-run', 'error rebuild.not-done debian', 'error pinned.nothing-rebuilt'],
    ],
    [
      'nothing rebuilt, so a gap for the comparison',
      explained,
      { ...sound, rebuild: undefined, gaps: [gapOf('compare')] },
      ['error compare.not-done', 'error pinned.nothing-rebuilt'],
    ],
    [
      'results of another plan',
      rebuilt,
      { ...sound, rebuild: { ...sound.rebuild!, plan: digestOf('other') } },
      ['error rebuild.other-plan', 'error pinned.nothing-rebuilt'],
    ],
    [
      'an image without a step',
      rebuilt,
      { ...sound, plan: { ...sound.plan!, steps: sound.plan!.steps.slice(1) } },
      ['error rebuild.not-planned debian'],
    ],
    ['a step without a result', rebuilt, withOutcome(middle, () => []), ['error rebuild.no-result php']],
    [
      'two results',
      rebuilt,
      withOutcome(middle, (outcome) => [outcome, outcome]),
      ['error rebuild.ambiguous php'],
    ],
    [
      'two steps',
      rebuilt,
      { ...sound, plan: { ...sound.plan!, steps: [...sound.plan!.steps, sound.plan!.steps[0]!] } },
      ['error rebuild.ambiguous debian'],
    ],
    [
      'two results of the image asked about',
      rebuilt,
      withOutcome(top, (outcome) => [outcome, outcome]),
      ['error rebuild.ambiguous wordpress', 'error pinned.nothing-rebuilt'],
    ],
    [
      'a failed build',
      rebuilt,
      withOutcome(middle, () => ({
        step: middle,
        status: 'failed',
        code: 'BUILD_FAILED',
        message: 'exit code 2',
        line: 12,
        log: [],
        durationMs: 1,
      })),
      ['fail rebuild.failed php'],
    ],
    [
      'a failed build, line unknown',
      rebuilt,
      withOutcome(middle, () => ({
        step: middle,
        status: 'failed',
        code: 'X',
        message: 'm',
        log: [],
        durationMs: 1,
      })),
      ['fail rebuild.failed php'],
    ],
    [
      'a build skipped',
      rebuilt,
      withOutcome(top, () => ({ step: top, status: 'skipped', blockedBy: [middle] })),
      ['fail rebuild.skipped wordpress', 'error pinned.nothing-rebuilt'],
    ],
    [
      'a result by tag only',
      rebuilt,
      withOutcome(top, (outcome: typeof built) => ({
        ...outcome,
        image: { ...outcome.image, reference: { ...outcome.image.reference, digest: undefined } },
      })),
      ['fail rebuild.digest-mismatch wordpress', 'fail pinned.mismatch'],
    ],
    [
      'a result that is another image',
      rebuilt,
      withOutcome(top, (outcome: typeof built) => ({
        ...outcome,
        image: { ...outcome.image, descriptor: { ...outcome.image.descriptor, digest: digestOf('other') } },
      })),
      ['fail rebuild.digest-mismatch wordpress', 'fail pinned.mismatch'],
    ],
    ...(['registry', 'repository'] as const).map((part): (typeof cases)[number] => [
      `a result pushed to another ${part}`,
      rebuilt,
      withOutcome(top, (outcome: typeof built) => ({
        ...outcome,
        image: { ...outcome.image, reference: { ...outcome.image.reference, [part]: 'elsewhere' } },
      })),
      ['fail rebuild.other-target wordpress', 'fail pinned.mismatch'],
    ]),
    [
      'a plan for another image',
      rebuilt,
      withNode(top, (node) => ({
        ...node,
        image: { ...node.image!, manifest: { ...node.image!.manifest, digest: digestOf('moved') } },
      })),
      ['fail rebuild.other-image wordpress', 'fail pinned.mismatch'],
    ],
    [
      'a plan for an image no registry shows now',
      rebuilt,
      withNode(top, ({ image: _image, ...node }) => node),
      ['fail rebuild.other-image wordpress', 'fail pinned.mismatch'],
    ],
    [
      'a side input not rebuilt',
      rebuilt,
      { ...sideFacts, plan: { ...sideFacts.plan!, steps: sideFacts.plan!.steps.slice(1) } },
      ['error rebuild.not-planned composer'],
    ],

    ['no frontend', frontends(), sound, []],
    [
      'a frontend that is pinned by its name',
      frontends('docker.io/docker/dockerfile'),
      frontendFacts({ digest: digestOf('f') }),
      [],
    ],
    [
      'a frontend that is not listed',
      frontends('docker.io/docker/dockerfile-upstream'),
      frontendFacts({}),
      ['fail rebuild.frontend-not-allowed php'],
    ],
    [
      'a frontend of another registry',
      frontends('docker.io/docker/dockerfile'),
      frontendFacts({ registry: 'docker.io.evil.example' }),
      ['fail rebuild.frontend-not-allowed php'],
    ],
    [
      'a frontend the lineage does not hold',
      frontends('docker.io/docker/dockerfile'),
      withEdges([...sound.lineage.edges, { ...frontendEdge, to: 'nowhere' }]),
      ['fail rebuild.frontend-not-allowed php'],
    ],
    ['a frontend by tag that the builder does not use', rebuilt, frontendFacts({}), []],
    ...(['base', 'copy-from'] as const).flatMap((kind) => [
      [`a ${kind} input that is rebuilt`, rebuilt, inputFacts({ kind, step: base }), []] as const,
      [
        `a ${kind} input from the public, though it is rebuilt`,
        rebuilt,
        inputFacts({ kind, pinned: digestOf('public') }),
        ['fail rebuild.input-not-rebuilt php'],
      ] as const,
      [
        `a ${kind} input from another step`,
        rebuilt,
        inputFacts({ kind, step: top }),
        ['fail rebuild.input-not-rebuilt php'],
      ] as const,
    ]),
    ['a frontend by digest', rebuilt, frontendFacts({ digest: digestOf('f') }), []],
    ['a frontend the plan names by digest', rebuilt, frontendFacts({}, { pinned: digestOf('f') }), []],
    ['a frontend another step makes', rebuilt, frontendFacts({}, { step: base }), []],
    [
      'a frontend the plan takes by tag',
      rebuilt,
      frontendFacts({}, {}),
      ['fail rebuild.frontend-not-pinned php'],
    ],
    ['a frontend, which has no base of its own here', complete, frontendFacts({}), []],
    ['a frontend, whose Dockerfile nobody read', available, frontendFacts({}), []],
    [
      'a frontend that files are copied from, too',
      available,
      withEdges(
        [...frontendFacts({}).lineage.edges, { ...frontendEdge, kind: 'copy-from' }],
        frontendFacts({}),
      ),
      ['fail source.not-named dockerfile'],
    ],

    ['every rebuild compared', explained, sound, []],
    [
      'nothing rebuilt',
      explained,
      { ...sound, rebuild: undefined },
      ['error compare.not-run', 'error pinned.nothing-rebuilt'],
    ],
    [
      'a rebuild not compared',
      explained,
      { ...sound, comparisons: { [top]: sound.comparisons[top]!, [base]: sound.comparisons[base]! } },
      ['error compare.missing php'],
    ],
    ['a comparison not done', explained, { ...sound, gaps: [gapOf('compare')] }, ['error compare.not-done']],
    [
      'an unexplained difference',
      explained,
      withComparison({
        grade: 'unexplained',
        differences: [
          { path: '/usr/bin/php', change: 'changed', aspects: ['content'] },
          { path: '/var/log/x', change: 'changed', aspects: ['content'], explanation: 'log' },
        ],
      }),
      ['fail compare.below-grade php'],
    ],
    [
      'a grade below the limit, all explained',
      { rule: 'compare.min-grade', grade: 'same-layers' },
      withComparison({ grade: 'explained' }),
      [
        'fail compare.below-grade wordpress',
        'fail compare.below-grade php',
        'fail compare.below-grade debian',
      ],
    ],
    [
      'a comparison with another original',
      explained,
      withComparison({ original: { reference: 'php', digest: digestOf('other') } }),
      ['error compare.other-image php'],
    ],
    [
      'a comparison with an original no registry shows now',
      explained,
      withNode(middle, ({ image: _image, ...node }) => node),
      ['error compare.other-image php'],
    ],
    [
      'a comparison with another rebuild',
      explained,
      withComparison({ rebuilt: { reference: 'php', digest: digestOf('other') } }),
      ['error compare.other-image php'],
    ],
    [
      'a comparison with a rebuild that failed',
      explained,
      withOutcome(middle, () => []),
      ['error compare.other-image php'],
    ],
  ];

  function withComparison(changes: Parameters<typeof comparisonOf>[1]): Facts {
    const step = sound.plan!.steps.find(({ id }) => id === middle)!;
    return { ...sound, comparisons: { ...sound.comparisons, [middle]: comparisonOf(step, changes) } };
  }

  test('evaluate() counts a frontend as no gap, for it is not vetted but allowed', () => {
    expect(decide(frontendFacts({ digest: digestOf('f') }))).toMatchObject({
      decision: 'allow',
      complete: true,
    });
  });

  test('evaluate() says a cause once, with the failure it explains', () => {
    const because = (stage: Gap['stage'], facts: Facts): Verdict => {
      const gap = gapOf(stage, { node: base, message: 'the line names ${X}' });
      return decide({ ...facts, lineage: { ...facts.lineage, gaps: [gap] } });
    };
    const ended = because(
      'lineage',
      withNode(base, (node) => ({ ...node, end: 'unresolved' })),
    );
    expect(ended.reasons.filter(({ message }) => message.includes('${X}')).map(({ code }) => code)).toEqual([
      'lineage.unresolved',
    ]);
    const unseen = because(
      'resolve',
      withNode(base, ({ image: _image, ...node }) => node),
    );
    expect(unseen.reasons.filter(({ message }) => message.includes('${X}')).map(({ code }) => code)).toEqual([
      'lineage.image-not-shown',
    ]);
    const unread = because(
      'provenance',
      withDockerfile(base, { text: undefined, status: 'host-unreachable' }),
    );
    expect(
      unread.reasons
        .filter(({ node, rule }) => node === base && rule === 'lineage.consistent')
        .map(({ code }) => code),
    ).toEqual(['lineage.consistency-unchecked']);
  });

  test.each(cases)('evaluate() judges %s', (_name, rule, facts, expected) => {
    const verdict = decide(facts, rule);
    expect(refusals(verdict)).toEqual(expected);
    expect(verdict.decision).toBe(expected.length === 0 ? 'allow' : 'deny');
    expect(verdict.pinned !== undefined).toBe(verdict.decision === 'allow');
    if (expected.some((refusal) => refusal.startsWith('error'))) expect(verdict.complete).toBe(false);
  });

  test('docs/concepts/policy.md names every rule, and every code seen here', () => {
    const text = readFileSync(new URL('../../../../docs/concepts/policy.md', import.meta.url), 'utf8');
    const codes = cases.flatMap(([, , , refused]) => refused.map((refusal) => refusal.split(' ')[1]!));
    expect(new Set(codes).size).toBeGreaterThan(35);
    expect([...new Set(codes)].filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
    for (const [, { rule }] of cases) {
      expect(text).toContain(`| \`${rule}\` |`);
      expect(describeRule(rule).rationale).toMatch(/\.$/);
    }
  });

  test('evaluate() refuses a rebuild pushed over the public image', () => {
    const steps = sound.plan!.steps.map((step) => ({ ...step, target: step.reference }));
    const outcomes = sound.rebuild!.outcomes.map((outcome) =>
      outcome.status === 'built'
        ? {
            ...outcome,
            image: {
              ...outcome.image,
              reference: {
                ...steps.find(({ id }) => id === outcome.step)!.target,
                digest: outcome.image.descriptor.digest,
              },
            },
          }
        : outcome,
    );
    const facts = { ...sound, plan: { ...sound.plan!, steps }, rebuild: { ...sound.rebuild!, outcomes } };
    expect(refusals(decide(facts, { rule: 'lineage.complete' }))).toEqual(['fail pinned.mismatch']);
  });

  test('evaluate() says in numbers what a comparison left unexplained', () => {
    const differences = ['/b', '/a'].map((path) => ({ path, change: 'added' as const, aspects: [] }));
    const config = [{ field: 'Env.PATH', original: '/bin', rebuilt: '/tmp' }];
    const facts = withComparison({ grade: 'unexplained', differences, config });
    const reason = decide(facts, explained).reasons.find(({ outcome }) => outcome === 'fail');
    expect(reason?.message).toBe(
      'its rebuild is unexplained, the policy asks for explained; 3 differences without explanation, such as /a',
    );
  });

  test('evaluate() accepts a step for an image whose public digest nobody knew', () => {
    const steps = sound.plan!.steps.map(({ original: _original, ...step }) => step);
    expect(decide({ ...sound, plan: { ...sound.plan!, steps } }, { rule: 'rebuild.complete' }).decision).toBe(
      'allow',
    );
  });
});

describe('evaluate() completeness', () => {
  test.each<[string, Facts, readonly string[]]>([
    ['no plan', { ...sound, plan: undefined }, ['REBUILD_NOT_PLANNED']],
    ['no rebuild', { ...sound, rebuild: undefined }, ['REBUILD_NOT_RUN', 'COMPARISON_NOT_RUN']],
    ['no comparison', { ...sound, comparisons: {} }, Array(3).fill('COMPARISON_MISSING')],
    ['no Dockerfile', withDockerfile(base, { text: undefined }), ['DOCKERFILE_NOT_READ']],
    ['no reachability', withDockerfile(base, { reachability: 'unchecked' }), ['REACHABILITY_UNCHECKED']],
    ['no image', withNode(base, ({ image: _image, ...node }) => node), ['IMAGE_NOT_SHOWN']],
    ['a gap of a stage', { ...sound, gaps: [gapOf('trust')] }, ['SOURCE_UNREACHABLE']],
    [
      'a gap of the plan',
      { ...sound, plan: { ...sound.plan!, gaps: [gapOf('rebuild')] } },
      ['SOURCE_UNREACHABLE'],
    ],
    [
      'a gap reported twice and implied',
      { ...sound, rebuild: undefined, gaps: [gapOf('rebuild'), gapOf('rebuild'), gapOf('compare')] },
      ['SOURCE_UNREACHABLE', 'SOURCE_UNREACHABLE'],
    ],
  ])('evaluate() is incomplete with %s, and lists it once', (_name, facts, expected) => {
    const verdict = decide(facts, { rule: 'lineage.min-grade', grade: 'claimed' });
    expect(verdict.complete).toBe(false);
    expect(verdict.gaps.map(({ code }) => code)).toEqual(expected);
  });

  test('evaluate() lists gaps about one thing in one order', () => {
    const gaps = ['a', 'b', 'c'].map((message) => gapOf('audit', { message }));
    const listed = (given: readonly Gap[]): readonly string[] =>
      decide({ ...sound, gaps: given }).gaps.map(({ message }) => message);
    expect(listed(gaps)).toEqual(['a', 'b', 'c']);
    expect(listed(gaps.toReversed())).toEqual(['a', 'b', 'c']);
  });

  test('evaluate() lists gaps by stage, then from the image asked about down', () => {
    const gaps = [
      gapOf('audit'),
      gapOf('resolve', { node: base }),
      gapOf('resolve', { node: top }),
      gapOf('resolve'),
    ];
    const listed = decide({ ...sound, gaps }).gaps.map(({ stage, node }) => `${stage} ${node ?? ''}`.trim());
    expect(listed).toEqual(['resolve', `resolve ${top}`, `resolve ${base}`, 'audit']);
  });
});

function exception(changes: Partial<PolicyException> = {}): PolicyException {
  return {
    apiVersion: 'imagevet/v1',
    kind: 'Exception',
    id: 'EX-2026-0142',
    rule: 'audit.max-severity',
    digest: digestOfNode(top),
    reason: 'the archive is checked downstream',
    approvedBy: 'platform-security',
    expires: '2026-12-31T00:00:00Z',
    ...changes,
  };
}

describe('evaluate() exceptions', () => {
  const found = { ...sound, findings: [finding()] };

  test('evaluate() names a used exception in the reason it waives', () => {
    const verdict = decide(found, undefined, [exception({ term: finding().id })]);
    expect(verdict.decision).toBe('allow');
    const waived = verdict.reasons.filter(({ outcome }) => outcome === 'waived');
    expect(waived).toHaveLength(1);
    expect(waived[0]).toMatchObject({
      rule: 'audit.max-severity',
      code: 'audit.finding',
      waivedBy: 'EX-2026-0142',
      message: expect.stringContaining(
        'waived by EX-2026-0142 until 2026-12-31T00:00:00Z: the archive is checked',
      ),
    });
    expect(verdict.exceptions).toEqual([
      {
        id: 'EX-2026-0142',
        status: 'used',
        message: 'approved by platform-security until 2026-12-31T00:00:00Z',
      },
    ]);
  });

  test.each<[string, Partial<PolicyException>, string]>([
    ['expired this very second', { expires: '2026-11-23T12:00:00Z' }, 'expired'],
    ['expired in another time zone', { expires: '2026-11-23T13:59:59+02:00' }, 'expired'],
    ['not yet effective', { approvedAt: '2026-11-23T12:00:01Z' }, 'not-yet-effective'],
    ['longer than 90 days from now', { expires: '2027-02-21T12:00:01Z' }, 'too-long'],
    [
      'longer than 90 days',
      { approvedAt: '2026-10-01T00:00:00Z', expires: '2026-12-31T00:00:00Z' },
      'too-long',
    ],
    ['for another digest', { digest: digestOf('neighbour') }, 'other-digest'],
    ['for the index', { digest: sound.lineage.nodes[0]!.image!.index!.digest }, 'other-digest'],
    ['for an ancestor the reason is not about', { digest: digestOfNode(base) }, 'unused'],
    ['for another rule', { rule: 'source.available' }, 'unused'],
    ['for another term', { term: 'another finding' }, 'unused'],
  ])('evaluate() does not apply an exception %s', (_name, changes, status) => {
    const verdict = decide(found, undefined, [exception(changes)]);
    expect(verdict.decision).toBe('deny');
    expect(verdict.exceptions.map((use) => use.status)).toEqual([status]);
  });

  test('evaluate() says in the failed reason which exception no longer applies', () => {
    const verdict = decide(found, undefined, [exception({ expires: '2026-11-01T00:00:00Z' })]);
    const [failed] = verdict.reasons.filter(({ outcome }) => outcome === 'fail');
    expect(failed?.message).toMatch(/; exception EX-2026-0142 does not apply: expired 2026-11-01T00:00:00Z$/);
  });

  test('evaluate() applies an exception until the second before it expires', () => {
    expect(decide(found, undefined, [exception({ expires: '2026-11-23T12:00:01Z' })]).decision).toBe('allow');
    const life = { approvedAt: '2026-11-23T12:00:00Z', expires: '2027-02-21T12:00:00Z' };
    expect(decide(found, undefined, [exception(life)]).decision).toBe('allow');
  });

  test('evaluate() lets an exception for an ancestor cover its children', () => {
    const facts = { ...sound, findings: [finding({ node: middle })] };
    expect(decide(facts, undefined, [exception({ digest: digestOfNode(middle) })]).decision).toBe('allow');
  });

  test('evaluate() waives every reason of the rule when an exception has no term', () => {
    const facts = { ...sound, findings: [finding(), finding({ id: 'b', node: middle })] };
    const verdict = decide(facts, undefined, [exception()]);
    expect(verdict.reasons.filter(({ waivedBy }) => waivedBy === 'EX-2026-0142')).toHaveLength(2);
  });

  test('evaluate() lists exceptions that share an id in one order', () => {
    const pair = [exception({ rule: 'source.available' }), exception()];
    const listed = (given: readonly PolicyException[]): readonly string[] =>
      decide(found, undefined, given).exceptions.map(({ status }) => status);
    expect(listed(pair)).toEqual(['used', 'unused']);
    expect(listed(pair.toReversed())).toEqual(['used', 'unused']);
  });

  test('evaluate() uses the first fitting exception by id, whatever the order given', () => {
    const both = [
      exception({ id: 'B' }),
      exception({ id: 'A' }),
      exception({ id: 'A', expires: '2026-12-01T00:00:00Z' }),
    ];
    const verdict = decide(found, undefined, both);
    expect(decide(found, undefined, both.toReversed())).toEqual(verdict);
    expect(verdict.exceptions.map(({ id, status }) => `${id} ${status}`)).toEqual([
      'A used',
      'A unused',
      'B unused',
    ]);
  });

  test.each<[string, PolicyException['rule'], Facts]>([
    ['a contradiction', 'lineage.consistent', withEdge(top, { grade: 'contradicted' })],
    ['a contradicted grade', 'lineage.min-grade', withEdge(top, { grade: 'contradicted' })],
    [
      'a digest mismatch',
      'rebuild.complete',
      withOutcome(top, (outcome: { image: object }) => ({
        ...(outcome as object),
        image: { ...outcome.image, descriptor: { mediaType: 'x', size: 1, digest: digestOf('other') } },
      })),
    ],
    [
      'a comparison of another image',
      'compare.min-grade',
      {
        ...sound,
        comparisons: {
          ...sound.comparisons,
          [top]: { ...sound.comparisons[top]!, original: { reference: 'x', digest: digestOf('other') } },
        },
      },
    ],
  ])('evaluate() never waives %s', (_name, rule, facts) => {
    const verdict = decide(facts, undefined, [
      exception({ rule }),
      exception({ id: 'late', rule, expires: '2026-01-01T00:00:00Z' }),
    ]);
    expect(verdict.decision).toBe('deny');
    expect(verdict.exceptions.map(({ status }) => status)).toEqual(['not-waivable', 'expired']);
    expect(verdict.reasons.some(({ waivedBy }) => waivedBy !== undefined)).toBe(false);
  });

  test('evaluate() denies a public image even when its missing rebuild is waived', () => {
    const facts: Facts = { ...sound, rebuild: undefined, comparisons: {} };
    const waivers = [
      exception({ rule: 'rebuild.complete' }),
      exception({ id: 'b', rule: 'compare.min-grade' }),
    ];
    const verdict = decide(facts, undefined, waivers);
    expect(verdict.exceptions.map(({ status }) => status)).toEqual(['used', 'used']);
    expect(refusals(verdict)).toEqual([
      'waived rebuild.not-run',
      'waived compare.not-run',
      'error pinned.nothing-rebuilt',
    ]);
    expect(verdict).toMatchObject({ decision: 'deny', complete: false });
  });

  test('evaluate() applies no exception to an image whose digest nobody saw', () => {
    const facts = withNode(top, ({ image: _image, ...node }) => node, found);
    const verdict = decide(facts, undefined, [exception()]);
    expect(verdict.exceptions.map(({ status }) => status)).toEqual(['other-digest']);
    expect(verdict.decision).toBe('deny');
  });
});

test('evaluate() speaks of the image as it was asked for', () => {
  expect(decide({ ...sound, requested: familiar(wordpress) }).requested).toBe('wordpress:4.9');
});
