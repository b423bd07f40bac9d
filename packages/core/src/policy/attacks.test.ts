// Rows 40 to 45 of the attack matrix: rebuild, policy, exceptions and time.
import { digestOf } from '@imagevet/registry';
import { describe, expect, test } from 'vitest';
import type { Comparison } from '../compare/types.ts';
import {
  comparisonOf,
  debian,
  family,
  finding,
  idOf,
  php,
  soundFacts,
  wordpress,
} from './__fixtures__/facts.ts';
import { defaultPolicy } from './default-policy.ts';
import { evaluate } from './evaluate.ts';
import { parseException, parsePolicy } from './parse.ts';
import type { Facts, Policy, PolicyException, Verdict } from './types.ts';

const noon = new Date('2026-11-23T12:00:00Z');
const sound = soundFacts();
const [top, middle, base] = [idOf(wordpress), idOf(php), idOf(debian)];

function decide(facts: Facts, exceptions: readonly PolicyException[] = [], time: Date = noon): Verdict {
  return evaluate(defaultPolicy, exceptions, facts, time);
}

function failed(verdict: Verdict): readonly string[] {
  return verdict.reasons
    .filter(({ outcome }) => outcome === 'fail' || outcome === 'error')
    .map(({ code }) => code);
}

function waiver(changes: Partial<PolicyException> = {}): PolicyException {
  return {
    apiVersion: 'imagevet/v1',
    kind: 'Exception',
    id: 'EX-1',
    rule: 'audit.max-severity',
    digest: sound.lineage.nodes[0]!.image!.manifest.digest,
    reason: 'checked downstream',
    approvedBy: 'platform-security',
    approvedAt: '2026-11-01T00:00:00Z',
    expires: '2026-12-31T00:00:00Z',
    ...changes,
  };
}

describe('#40 what a rebuild shows', () => {
  const compared = (changes: Partial<Comparison>): Facts => {
    const step = sound.plan!.steps.find(({ id }) => id === top)!;
    return { ...sound, comparisons: { ...sound.comparisons, [top]: comparisonOf(step, changes) } };
  };

  test('#40 evaluate() allows a rebuild that differs in timestamps only', () => {
    const files = { compared: 8_213, equal: 0, timestampsOnly: 8_213 };
    expect(decide(compared({ grade: 'same-content', files })).decision).toBe('allow');
  });

  test('#40 evaluate() denies a rebuild with one unexplained binary, and names it', () => {
    const differences = [{ path: '/usr/bin/sudo', change: 'changed', aspects: ['content'] }] as const;
    const verdict = decide(compared({ grade: 'unexplained', differences }));
    expect(failed(verdict)).toEqual(['compare.below-grade']);
    expect(verdict.reasons.find(({ outcome }) => outcome === 'fail')?.message).toContain('/usr/bin/sudo');
  });

  test('#40 evaluate() takes no comparison of other images for these', () => {
    const facts = compared({
      original: { reference: 'wordpress:4.9', digest: digestOf('a friendlier image') },
    });
    expect(failed(decide(facts))).toEqual(['compare.other-image']);
  });

  test('#40 evaluate() denies when two public images were mapped to one internal name', () => {
    const steps = sound.plan!.steps.map((step) =>
      step.id === base
        ? { ...step, target: sound.plan!.steps.find(({ id }) => id === middle)!.target }
        : step,
    );
    const facts = { ...sound, plan: { ...sound.plan!, steps } };
    expect(failed(decide(facts))).toEqual(['rebuild.shared-target', 'rebuild.shared-target']);
    const waived = decide(facts, [waiver({ rule: 'rebuild.complete' })]);
    expect(waived).toMatchObject({ decision: 'deny', exceptions: [{ status: 'not-waivable' }] });
  });

  test('#40 evaluate() never pins the public name with the rebuilt digest, nor the other way round', () => {
    const { pinned } = decide(sound);
    const rebuilt = digestOf(`rebuilt ${top}`);
    expect(pinned).toBe(`registry.internal/vetted/library/wordpress@${rebuilt}`);
    expect(pinned).not.toContain(sound.lineage.nodes[0]!.image!.manifest.digest);
  });
});

describe('#41 a policy that means to be read another way', () => {
  test.each([
    [
      'an unknown key',
      `{"apiVersion":"imagevet/v1","kind":"Policy","name":"p","default":"deny","rules":[],"mode":"warn"}`,
    ],
    [
      'a repeated key',
      `{"apiVersion":"imagevet/v1","kind":"Policy","name":"p","default":"deny","rules":[],"rules":[]}`,
    ],
    [
      'default: allow',
      `{"apiVersion":"imagevet/v1","kind":"Policy","name":"p","default":"allow","rules":[]}`,
    ],
    [
      'a rule that is misspelt',
      `{"apiVersion":"imagevet/v1","kind":"Policy","name":"p","default":"deny","rules":[{"rule":"rebuild.completed"}]}`,
    ],
    [
      'comments',
      `{"apiVersion":"imagevet/v1", /* "default":"deny", */ "kind":"Policy","name":"p","rules":[]}`,
    ],
    [
      'a prototype',
      `{"__proto__":{"default":"deny","rules":[]},"apiVersion":"imagevet/v1","kind":"Policy","name":"p"}`,
    ],
    ['YAML', 'default: deny\nrules: []\n'],
  ])('#41 parsePolicy() refuses %s', (_name, text) => {
    expect(() => parsePolicy(text)).toThrow(expect.objectContaining({ code: 'INVALID_POLICY' }));
  });

  test('#41 parsePolicy() refuses 50,000 scopes and patterns made to be slow', () => {
    const policy = (allow: readonly string[]): string =>
      JSON.stringify({ ...defaultPolicy, rules: [{ rule: 'source.repositories', allow }] });
    for (const allow of [
      Array<string>(50_000).fill('https://github.com/*'),
      [`https://${'a.'.repeat(900)}*`],
      [`https://github.com${'/*'.repeat(900)}`],
      [`https://github.com/${'(a+)+'.repeat(300)}$`],
    ]) {
      expect(() => parsePolicy(policy(allow))).toThrow(expect.objectContaining({ code: 'INVALID_POLICY' }));
    }
  });

  test('#41 evaluate() is as strict with a policy that never was text', () => {
    const loose = { ...defaultPolicy, rules: [...defaultPolicy.rules, { rule: 'everything.fine' }] };
    expect(() => evaluate(loose as never as Policy, [], sound, noon)).toThrow(/\$\.rules\[8\]\.rule/);
  });
});

describe('#42 nothing to check', () => {
  test('#42 evaluate() denies a lineage without images', () => {
    const facts: Facts = { ...sound, lineage: { ...sound.lineage, nodes: [], edges: [] } };
    const verdict = decide(facts);
    expect(verdict).toMatchObject({ decision: 'deny', complete: false });
    expect(failed(verdict)).toEqual(['lineage.malformed', 'pinned.nothing-rebuilt']);
  });

  test('#42 evaluate() denies under a policy without rules, and under one whose list allows nothing', () => {
    expect(evaluate({ ...defaultPolicy, rules: [] }, [], sound, noon).decision).toBe('deny');
    const nobody: Policy = { ...defaultPolicy, rules: [{ rule: 'source.repositories', allow: [] }] };
    expect(failed(evaluate(nobody, [], sound, noon))).toEqual(Array(3).fill('source.repository-not-allowed'));
  });

  test('#42 evaluate() denies when the images that were checked are others than the one asked about', () => {
    const facts: Facts = {
      ...sound,
      lineage: { ...sound.lineage, root: 'docker.io/library/other:1 linux/amd64' },
    };
    expect(decide(facts).decision).toBe('deny');
  });

  test('#42 evaluate() does not take an unaudited image for one without findings', () => {
    const nodes = sound.lineage.nodes.map((node) => ({
      ...node,
      dockerfile: { ...node.dockerfile, text: undefined },
    }));
    expect(failed(decide({ ...sound, lineage: { ...sound.lineage, nodes } }))).toContain('audit.not-audited');
  });
});

describe('#43 exceptions that must not apply', () => {
  const found: Facts = { ...sound, findings: [finding()] };
  const second = (text: string): Date => new Date(text);

  test.each<[string, PolicyException, Date, string]>([
    ['one second after it expired', waiver(), second('2026-12-31T00:00:01Z'), 'expired'],
    ['the moment it expires', waiver(), second('2026-12-31T00:00:00Z'), 'expired'],
    ['before it was approved', waiver(), second('2026-10-31T23:59:59Z'), 'not-yet-effective'],
    ['for another digest', waiver({ digest: digestOf('neighbour') }), noon, 'other-digest'],
    ['that lasts a year', waiver({ expires: '2027-11-01T00:00:00Z' }), noon, 'too-long'],
    ['for another finding', waiver({ term: 'other' }), noon, 'unused'],
  ])('#43 evaluate() does not apply an exception %s', (_name, exception, time, status) => {
    const verdict = decide(found, [exception], time);
    expect(verdict.decision).toBe('deny');
    expect(verdict.exceptions).toMatchObject([{ id: 'EX-1', status }]);
    expect(decide(found, [waiver()]).decision).toBe('allow');
  });

  test('#43 evaluate() applies no exception to a contradiction, and says so', () => {
    const edges = sound.lineage.edges.map((edge) => ({ ...edge, grade: 'contradicted' as const }));
    const verdict = decide({ ...sound, lineage: { ...sound.lineage, edges } }, [
      waiver({ rule: 'lineage.consistent' }),
    ]);
    expect(verdict).toMatchObject({ decision: 'deny', exceptions: [{ status: 'not-waivable' }] });
  });

  test('#43 an exception for one image does not cover another with the same finding', () => {
    const neighbour = soundFacts([
      { ...family[0]!, reference: { ...wordpress, tag: '5.0' } },
      ...family.slice(1),
    ]);
    const facts = { ...neighbour, findings: [finding({ node: neighbour.lineage.root })] };
    expect(decide(facts, [waiver()]).decision).toBe('deny');
  });

  test('#43 parseException() refuses a rule that does not exist, a wildcard and no expiry', () => {
    for (const changes of [{ rule: 'pinned' }, { rule: 'policy' }, { rule: '*' }, { expires: undefined }]) {
      expect(() => parseException(JSON.stringify({ ...waiver(), ...changes }))).toThrow(
        expect.objectContaining({ code: 'INVALID_POLICY' }),
      );
    }
  });
});

describe('#44 time', () => {
  const found: Facts = { ...sound, findings: [finding()] };

  test('#44 evaluate() gives a past time the verdict of that time', () => {
    const before = decide(found, [waiver()], new Date('2026-12-30T00:00:00Z'));
    const after = decide(found, [waiver()], new Date('2027-01-02T00:00:00Z'));
    expect([before.decision, after.decision]).toEqual(['allow', 'deny']);
    expect(decide(found, [waiver()], new Date(before.effectiveTime))).toEqual(before);
  });

  test('#44 evaluate() changes nothing within a day that no exception ends in', () => {
    const verdicts = [-1, 0, 1].map((days) => {
      const { effectiveTime: _time, ...rest } = decide(
        found,
        [waiver()],
        new Date(noon.getTime() + days * 86_400_000),
      );
      return rest;
    });
    expect(verdicts[0]).toEqual(verdicts[1]);
    expect(verdicts[2]).toEqual(verdicts[1]);
  });

  test('#44 evaluate() reads an end in any zone as the same moment', () => {
    const ends = ['2026-12-31T00:00:00Z', '2026-12-31T05:30:00+05:30', '2026-12-30T12:00:00-12:00'];
    for (const expires of ends) {
      expect(decide(found, [waiver({ expires })], new Date('2026-12-30T23:59:59.999Z')).decision).toBe(
        'allow',
      );
      expect(decide(found, [waiver({ expires })], new Date('2026-12-31T00:00:00Z')).decision).toBe('deny');
    }
  });

  test('#44 evaluate() refuses a time that is none', () => {
    expect(() => decide(sound, [], new Date(Number.NaN))).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });
});

describe('#45 verdicts do not outlive what they rest on', () => {
  test('#45 evaluate() remembers nothing between calls', () => {
    const found: Facts = { ...sound, findings: [finding()] };
    const first = decide(found, [waiver()]);
    expect(decide(found).decision).toBe('deny');
    expect(decide(found, [waiver({ expires: '2026-11-02T00:00:00Z' })]).decision).toBe('deny');
    expect(decide(found, [waiver()])).toEqual(first);
  });

  test('#45 a verdict names the policy and the exceptions it was made with', () => {
    const strict: Policy = {
      ...defaultPolicy,
      rules: [...defaultPolicy.rules, { rule: 'audit.max-severity', deny: 'low' }],
    };
    const digests = [defaultPolicy, strict].map((policy) => evaluate(policy, [], sound, noon).policy.digest);
    expect(new Set(digests).size).toBe(2);
    expect(decide(sound, [waiver()]).exceptions.map(({ id }) => id)).toEqual(['EX-1']);
    expect(decide(sound).exceptions).toEqual([]);
  });
});
