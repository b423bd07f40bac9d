import { formatReference, parseReference } from '@imagevet/registry';
import { expect, test } from 'vitest';
import { planRebuild } from '../rebuild/plan/plan-rebuild.ts';
import { type PretendedImage, pretendWorld, type Turn } from './__fixtures__/pretended-world.ts';
import { resolveFamily } from './resolve-family.ts';
import { resolveLineage } from './resolve-lineage.ts';
import type { Lineage } from './types.ts';

const CHAIN: Readonly<Record<string, PretendedImage>> = {
  'base:1': { dockerfile: 'FROM middle:1\nRUN base:1', shownOn: 'middle:1' },
  'middle:1': { dockerfile: 'FROM root:1\nRUN middle:1', shownOn: 'root:1' },
  'root:1': { dockerfile: 'FROM scratch\nRUN root:1', shownOn: 'scratch' },
};

function familyOf(count: number) {
  const leaves = Array.from({ length: count }, (_item, at) => `leaf:${at}`);
  const own = leaves.map((name) => [name, { dockerfile: `FROM base:1\nRUN ${name}`, shownOn: 'base:1' }]);
  const asked: string[] = [];
  const turn: Turn = async (label, make) => {
    asked.push(label);
    return make();
  };
  return { leaves, asked, services: pretendWorld({ ...Object.fromEntries(own), ...CHAIN }, turn) };
}

test('resolveFamily() gives each image the lineage it has alone', async () => {
  const { leaves, services } = familyOf(5);
  const members = await resolveFamily(leaves, services);
  const alone = await Promise.all(leaves.map((name) => resolveLineage(name, services)));
  expect(members.map(({ reference }) => reference)).toEqual(leaves);
  expect(members.map(({ lineage }) => lineage)).toEqual(alone);
});

test('resolveFamily() asks for what an image has of its own, and for what they share once', async () => {
  const one = familyOf(1);
  await resolveFamily(one.leaves, one.services);
  const two = familyOf(2);
  await resolveFamily(two.leaves, two.services);
  const many = familyOf(50);
  await resolveFamily(many.leaves, many.services);
  const own = two.asked.length - one.asked.length;
  expect(many.asked.length).toBe(one.asked.length + 49 * own);
  expect(many.asked.filter((label) => /base|middle|root/.test(label)).sort()).toEqual(
    one.asked.filter((label) => /base|middle|root/.test(label)).sort(),
  );
});

test('resolveFamily() sees one state of a tag, so that a rebuild can be planned for all', async () => {
  const { leaves, services } = familyOf(2);
  let reads = 0;
  const moving = {
    ...services.registry,
    fetchManifest: (...asked: Parameters<typeof services.registry.fetchManifest>) => {
      const [reference] = asked;
      if (reference.tag !== '1' || reference.repository !== 'library/base') {
        return services.registry.fetchManifest(...asked);
      }
      reads += 1;
      return services.registry.fetchManifest(reads === 1 ? reference : parseReference('root:1'));
    },
  };
  const target = { registry: 'registry.corp', repositoryPrefix: 'vetted' };
  const members = await resolveFamily(leaves, { ...services, registry: moving });
  const plan = planRebuild(
    members.flatMap(({ lineage }) => lineage ?? []),
    { target },
  );
  expect(plan.steps).toHaveLength(5);
  expect(reads).toBe(1);
  reads = 0;
  const apart: Lineage[] = [];
  for (const leaf of leaves) apart.push(await resolveLineage(leaf, { ...services, registry: moving }));
  expect(() => planRebuild(apart, { target })).toThrow('the lineages disagree');
});

test('resolveFamily() tells of an image nobody knows, and goes on', async () => {
  const { services } = familyOf(1);
  const known = parseReference('leaf:0');
  const [lost, found] = await resolveFamily(['stranger:1', known], services);
  expect(lost).toMatchObject({ reference: 'stranger:1', failure: { code: 'NOT_FOUND' } });
  expect(found?.reference).toBe(known);
  expect(found?.lineage?.root).toBe(`${formatReference(known)} linux/amd64`);
});

test('resolveFamily() rejects when aborted, and for a concurrency below 1', async () => {
  const { leaves, services } = familyOf(3);
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  await expect(resolveFamily(leaves, { ...services, signal })).rejects.toBe(reason);
  await expect(resolveFamily(leaves, { ...services, concurrency: 0 })).rejects.toMatchObject({
    code: 'INVALID_OPTIONS',
  });
  await expect(resolveFamily(leaves, { ...services, maxDepth: 0 })).rejects.toMatchObject({
    code: 'INVALID_OPTIONS',
  });
});
