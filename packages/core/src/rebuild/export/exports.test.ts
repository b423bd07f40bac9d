import { digestOf } from '@imagevet/registry';
import { describe, expect, onTestFinished, test } from 'vitest';
import { family } from '../__fixtures__/family.ts';
import { planRebuild } from '../plan/plan-rebuild.ts';
import type { RebuildPlan, RebuildResult } from '../types.ts';
import { toBakeFile } from './bake-file.ts';
import { toSourcePolicy } from './source-policy.ts';

async function planned(): Promise<RebuildPlan> {
  const { lineage, close } = await family();
  onTestFinished(close);
  return planRebuild([await lineage()], { target: { registry: 'reg.example', repositoryPrefix: 'vetted' } });
}

function built(plan: RebuildPlan, but = ''): RebuildResult {
  const outcomes = plan.steps.map(({ id, target }): RebuildResult['outcomes'][number] => {
    if (id === but) return { step: id, status: 'skipped', blockedBy: [] };
    const digest = digestOf(id);
    const descriptor = { mediaType: 'm', digest, size: 1 };
    const image = { reference: { ...target, digest }, descriptor, diffIds: [], imageId: digest };
    return { step: id, status: 'built', image, durationMs: 1 };
  });
  return { plan: plan.id, engine: { name: 'e', version: '1' }, outcomes };
}

describe('toSourcePolicy()', () => {
  test('converts each public image to the rebuilt one, and denies the rest first', async () => {
    const plan = await planned();
    const { rules } = toSourcePolicy(plan, built(plan));
    expect(rules[0]).toEqual({ action: 'DENY', selector: { identifier: '*' } });
    const converts = rules.filter(({ action }) => action === 'CONVERT');
    expect(converts.map(({ selector }) => selector.identifier)).toEqual(
      ['app', 'base', 'lib', 'tool'].map((name) => `docker-image://docker.io/library/${name}:1`),
    );
    for (const { updates } of converts) {
      expect(updates?.identifier).toMatch(
        /^docker-image:\/\/reg\.example\/vetted\/library\/\w+@sha256:[0-9a-f]{64}$/,
      );
      // What a rule converts to must be allowed.
      expect(rules).toContainEqual({ action: 'ALLOW', selector: updates });
    }
  });

  test('leaves out what was not built, so that it is denied', async () => {
    const plan = await planned();
    const { rules } = toSourcePolicy(plan, built(plan, 'docker.io/library/lib:1 linux/amd64'));
    expect(JSON.stringify(rules)).not.toContain('library/lib');
  });
});

describe('toBakeFile()', () => {
  test('names every parent by a context, and sources by commit', async () => {
    const plan = await planned();
    const { group, target } = toBakeFile(plan);
    expect(group.default.targets).toEqual(Object.keys(target));
    expect(group.default.targets.every((name) => /^[A-Za-z0-9_-]+$/.test(name))).toBe(true);
    const app = target[group.default.targets.find((name) => name.startsWith('library-app-')) ?? ''];
    const lib = group.default.targets.find((name) => name.startsWith('library-lib-'));
    expect(app?.contexts['lib:1']).toBe(`target:${lib}`);
    expect(Object.keys(app?.contexts ?? {}).sort()).toEqual(['lib:1', 'tool:1']);
    expect(app?.context).toMatch(/^https:\/\/git\.example\/org\/family\.git#[0-9a-f]{40}:app-1$/);
    expect(app?.tags).toEqual(['reg.example/vetted-scratch/library/app:1']);
  });

  test('refuses a plan without steps, which buildx does not read', async () => {
    const plan = await planned();
    expect(() => toBakeFile({ ...plan, steps: [] })).toThrow(
      expect.objectContaining({ code: 'PLAN_INVALID' }),
    );
  });

  test('keeps variables of the Dockerfile from being read as a template', async () => {
    const { target } = toBakeFile(await planned());
    const lib = Object.entries(target).find(([name]) => name.startsWith('library-lib-'))?.[1];
    expect(lib?.['dockerfile-inline']).toContain('FROM base:$${V}\n');
  });
});
