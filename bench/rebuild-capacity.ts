// How many builders 5,000 tags on three platforms need: the real scheduler over a clock that does not wait.
import { setImmediate as turn } from 'node:timers/promises';
import { type Builder, type RebuildPlan, rebuild } from '../packages/core/src/index.ts';
import { digestOf, formatReference } from '../packages/registry/src/index.ts';
import { emptyHost as host, type PlannedImage, planOf, platform } from './rebuild-plan.ts';

/** Tags, and tags that name the same image, as on Docker's official images in August 2026. */
const TAGS = 5000;
const TAGS_PER_IMAGE = 4.85;
const PLATFORMS = 3;
/** Minutes of one build, native: an assumption. */
const BUILD_MINUTES = 4;
const BUILDERS = [1, 2, 4, 8, 16, 32, 64];

/** Prints what a rebuild of everything takes for a number of builders. */
export async function simulateCapacity(print: (line: string) => void): Promise<void> {
  const images = Math.round(TAGS / TAGS_PER_IMAGE);
  const plan = planOf('registry.example', universe(images));
  print(
    `capacity: ${TAGS} tags are ${images} images on ${PLATFORMS} platforms, ${BUILD_MINUTES} minutes each (${((images * PLATFORMS * BUILD_MINUTES) / 60).toFixed(0)} build-hours), simulated`,
  );
  print('capacity: builders a platform | builders | hours | deepest queue | busy | builder-hours paid');
  for (const builders of BUILDERS) {
    const { minutes, deepest } = await simulate(plan, builders);
    const paid = (minutes * builders * PLATFORMS) / 60;
    const busy = (images * BUILD_MINUTES) / (minutes * builders);
    print(
      `capacity: ${[builders, builders * PLATFORMS, (minutes / 60).toFixed(1), deepest, `${Math.round(busy * 100)}%`, paid.toFixed(0)].join(' | ')}`,
    );
  }
}

/** Bases, languages on the bases, and applications on the languages, in the proportions of the official images. */
function universe(images: number): readonly PlannedImage[] {
  const instructions = 'COPY x /';
  const bases = Array.from({ length: 40 }, (_, index) => ({ name: `base${index}`, instructions }));
  const languages = Array.from({ length: 360 }, (_, index) => ({
    ...{ name: `language${index}`, base: `base${index % 40}`, instructions },
  }));
  const applications = Array.from({ length: images - 400 }, (_, index) => ({
    ...{ name: `application${index}`, base: `language${index % 360}`, instructions },
  }));
  return [...bases, ...languages, ...applications];
}

/** One platform: the others are the same beside it. */
async function simulate(
  plan: RebuildPlan,
  builders: number,
): Promise<{ readonly minutes: number; readonly deepest: number }> {
  let now = 0;
  let done = false;
  const sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  const built = new Set<string>();
  let deepest = 0;
  const builder: Builder = {
    name: 'simulated',
    probe: async () => ({ name: 'simulated', version: '1', platform }),
    build: async ({ target }) => {
      await new Promise<void>((wake) => sleepers.push({ at: now + BUILD_MINUTES, wake }));
      const digest = digestOf(formatReference(target));
      built.add(target.repository);
      return {
        reference: { ...target, digest },
        descriptor: { mediaType: 'x', digest, size: 1 },
        diffIds: [],
        imageId: digest,
      };
    },
  };
  const running = rebuild(plan, { builder, host, concurrency: builders }).finally(() => {
    done = true;
  });
  const names = new Map(plan.steps.map(({ id, scratch }) => [id, scratch.repository]));
  while (!done) {
    // Everything that can go on has gone on when a few turns brought no new sleeper.
    for (
      let quiet = 0, before = sleepers.length;
      quiet < 3;
      quiet = before === sleepers.length ? quiet + 1 : 0
    ) {
      before = sleepers.length;
      await turn();
    }
    const ready = plan.steps.filter(
      ({ scratch, inputs }) =>
        !built.has(scratch.repository) && inputs.every(({ step }) => built.has(names.get(step ?? '') ?? '')),
    ).length;
    deepest = Math.max(deepest, ready - sleepers.length);
    sleepers.sort((a, b) => a.at - b.at);
    now = sleepers[0]?.at ?? now;
    while (sleepers[0] !== undefined && sleepers[0].at <= now) sleepers.shift()?.wake();
  }
  await running;
  return { minutes: now, deepest };
}
