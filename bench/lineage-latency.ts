// How long a lineage takes when every answer takes its time, beside what no order of asking could do without.
import { publicServices, resolveFamily, resolveLineage } from '../packages/core/src/index.ts';
import { type ClaimOutcome, judge, medians } from './claim.ts';
import { startLatencyProxy } from './latency-proxy.ts';
import { type Family, type FamilyPlan, startFamily } from './lineage-family.ts';

const LATENCY_MS = 20;
const LEVELS = 4;

/**
 * Round trips that wait for one another. Of each image: which commit of its library file is the newest, the file at that
 * commit, the Dockerfile the file names; the name of the base is in the Dockerfile. Of the last one, then: the default branch
 * of its repository, and whether the commit is in it. An image's index, manifest and config take three too, beside those.
 */
const ROUND_TRIPS = 3 * LEVELS + 2;

/** The lineage of a 4-level image with 20 ms for every answer of registry, git host and Docker Hub. */
export async function benchLatency(rounds = 9) {
  await using world = await startSlowFamily({ depth: LEVELS, index: true });
  const resolve = async () => {
    const { registry, sources, host } = world.services();
    const lineage = await resolveLineage('app-0:1', { registry, sources, host });
    await registry.close();
    const proven = lineage.edges.filter(({ grade }) => grade === 'proven').length;
    if (proven !== LEVELS - 1 || lineage.gaps.length > 0) throw new Error(JSON.stringify(lineage.gaps));
  };
  const [ours] = await medians([resolve] as const, rounds);
  const bound = ROUND_TRIPS * LATENCY_MS;
  return judge({
    name: 'lineage.four-levels-vs-critical-path',
    ...{ ours: `${Math.round(ours)}ms`, peer: `${bound}ms` },
    ...{ ratio: bound / ours, goal: 1 / 1.5 },
  });
}

/** What an image of a family costs by the size of the family. */
interface FamilyCost {
  readonly images: number;
  /** Requests per image. */
  readonly registry: number;
  readonly git: number;
  /** Milliseconds per image. */
  readonly time: number;
}

const SIZES: readonly number[] = [1, 10, 100, 1000];

/** Resolves families of 1 to 1000 images, each with nothing known, through hosts that take 20 ms for an answer. */
export async function benchFamily(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const leaves = Math.max(...SIZES);
  await using world = await startSlowFamily({ depth: LEVELS, leaves, tagsPerLibrary: 50, index: true });
  const measure = async (images: number): Promise<FamilyCost> => {
    const { registry, sources, host } = world.services();
    const before = world.requests();
    const start = performance.now();
    const members = await resolveFamily(world.leaves.slice(0, images), { registry, sources, host });
    const time = performance.now() - start;
    await registry.close();
    const wrong = members.find(
      ({ lineage }) => lineage?.gaps.length !== 0 || lineage.edges.some(({ grade }) => grade !== 'proven'),
    );
    if (wrong !== undefined) throw new Error(JSON.stringify(wrong.failure ?? wrong.lineage?.gaps));
    const after = world.requests();
    const perImage = (kind: 'registry' | 'git') => (after[kind] - before[kind]) / images;
    return { images, registry: perImage('registry'), git: perImage('git'), time: time / images };
  };
  await measure(leaves); // what is loaded and answered on first use is so for all
  const costs: FamilyCost[] = [];
  for (const size of SIZES) costs.push(await measure(size));
  print('a family of four levels: per image, requests to the registry, to the git host, and time');
  for (const { images, registry, git, time } of costs) {
    const counts = [images, registry.toFixed(2), git.toFixed(2), `${time.toFixed(1)}ms`];
    print(counts.map((text) => String(text).padStart(9)).join(''));
  }
  const total = ({ registry, git }: FamilyCost) => registry + git;
  const [one, all] = [total(costs[0]!), total(costs.at(-1)!)];
  const { line, outcome } = judge({
    name: 'lineage.family-requests-per-image-1000-vs-1',
    ...{ ours: all.toFixed(1), peer: one.toFixed(1), ratio: one / all, goal: 4 },
  });
  print(line);
  return [outcome];
}

async function startSlowFamily(plan: FamilyPlan) {
  const family: Family = await startFamily(plan);
  const [registry, git, hub] = await Promise.all(
    [family.registryUrl, family.gitUrl, family.hubUrl].map((url) => startLatencyProxy(url, LATENCY_MS)),
  );
  if (registry === undefined || git === undefined || hub === undefined) throw new Error('no proxy');
  return {
    leaves: family.leaves,
    requests: () => ({ registry: registry.requests(), git: git.requests() }),
    services: () =>
      publicServices({
        ...{ hosts: { 'docker.io': { url: registry.url } }, hubUrl: hub.url, gitUrl: git.url },
      }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([registry.close(), git.close(), hub.close(), family.close()]);
    },
  };
}
