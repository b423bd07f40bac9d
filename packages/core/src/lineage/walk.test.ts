// What a lineage is must not depend on when answers come, and answers that do not need each other are not waited for in turn.
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PretendedImage, pretendWorld, type Turn } from './__fixtures__/pretended-world.ts';
import { createLineageCache } from './lineage-cache.ts';
import type { ResolveLineageOptions } from './options.ts';
import { resolveLineage } from './resolve-lineage.ts';

const COUNT = 8;
const names = Array.from({ length: COUNT }, (_item, at) => `app:${at}`);
const name = fc.constantFrom(...names, 'stranger:1');

const which = fc.constantFrom('now', 'before', 'none');

const dockerfile = fc
  .record({
    base: fc.oneof({ weight: 8, arbitrary: name }, fc.constantFrom('scratch', '${UNSET}', 'no/Name')),
    copies: fc.array(name, { maxLength: 3 }),
    stage: fc.option(name, { nil: undefined }),
    syntax: fc.boolean(),
  })
  .map(({ base, copies, stage, syntax }) =>
    [
      ...(syntax ? ['# syntax=docker/dockerfile:1'] : []),
      ...(stage === undefined ? [] : [`FROM ${stage} AS other`]),
      `FROM ${base}`,
      ...copies.map((copied) => `COPY --from=${copied} / /`),
    ].join('\n'),
  );

const image: fc.Arbitrary<PretendedImage> = fc
  .record(
    {
      dockerfile: fc.oneof({ weight: 9, arbitrary: dockerfile }, fc.constant('GONE'), fc.constant('nothing')),
      shownOn: fc.oneof(name, fc.constant('scratch')),
      names: fc.record({ base: name, digest: which }),
      conflicting: fc.boolean(),
      stranger: fc.boolean(),
      failing: fc.boolean(),
      onBuild: fc.array(
        name.map((copied) => `COPY --from=${copied} / /`),
        { maxLength: 2 },
      ),
    },
    { requiredKeys: ['dockerfile'] },
  )
  .map((made) => made);

/** Half of the images are as their Dockerfiles say: on one of those after them. */
const honest = fc.record({ base: fc.nat(), copied: name, named: which });

const world = fc
  .array(fc.oneof(image, honest), { minLength: COUNT, maxLength: COUNT })
  .map((images) =>
    Object.fromEntries(
      images.map((made, at) => [names[at]!, 'dockerfile' in made ? made : honestly(made, at)]),
    ),
  );

function honestly(
  {
    base,
    copied,
    named,
  }: { readonly base: number; readonly copied: string; readonly named: 'now' | 'before' | 'none' },
  at: number,
): PretendedImage {
  const below = names.slice(at + 1);
  const shownOn = below[base % below.length] ?? 'scratch';
  const dockerfile = `FROM ${copied} AS other\nFROM ${shownOn}\nRUN ${names[at]}`;
  return { dockerfile, shownOn, names: { base: shownOn, digest: named } };
}

const limits = fc.record({
  maxDepth: fc.integer({ min: 1, max: 6 }),
  maxImages: fc.integer({ min: 1, max: 9 }),
});

async function jsonOf(options: ResolveLineageOptions): Promise<string> {
  try {
    return JSON.stringify(await resolveLineage('app:0', options));
  } catch (error) {
    return String(error);
  }
}

const atOnce: Turn = async (_label, make) => make();

describe('resolveLineage() is the same', () => {
  test('in whichever order answers come', async () => {
    await fc.assert(
      fc.asyncProperty(world, limits, fc.scheduler(), async (images, bounds, scheduler) => {
        const calm = await jsonOf({ ...pretendWorld(images, atOnce), ...bounds });
        const turn: Turn = async (label, make) => {
          await scheduler.schedule(Promise.resolve(), label);
          return make();
        };
        const shuffled = jsonOf({ ...pretendWorld(images, turn), ...bounds });
        expect(await scheduler.waitFor(shuffled)).toBe(calm);
      }),
      { numRuns: 300 },
    );
  });

  test('one question at a time, and beside others of its family', async () => {
    await fc.assert(
      fc.asyncProperty(world, limits, async (images, bounds) => {
        const calm = await jsonOf({ ...pretendWorld(images, atOnce), ...bounds });
        const services = { ...pretendWorld(images, atOnce), ...bounds };
        expect(await jsonOf({ ...services, cache: createLineageCache({ concurrency: 1 }) })).toBe(calm);
        const cache = createLineageCache();
        const many = await Promise.all(Array.from({ length: 4 }, () => jsonOf({ ...services, cache })));
        expect(new Set(many)).toEqual(new Set([calm]));
      }),
      { numRuns: 100 },
    );
  });
});

/** Answers in rounds: all that was asked before anybody got an answer is answered together. */
function rounds(): {
  readonly turn: Turn;
  readonly run: <T>(work: Promise<T>) => Promise<readonly string[][]>;
} {
  let waiting: { readonly label: string; readonly go: () => void }[] = [];
  return {
    turn: async (label, make) => {
      await new Promise<void>((go) => waiting.push({ label, go }));
      return make();
    },
    run: async (work) => {
      const asked: string[][] = [];
      let done = false;
      const finished = work.finally(() => {
        done = true;
      });
      for (;;) {
        // Whatever is only waiting for the processor gets it first.
        for (let idle = 0; idle < 4; idle += 1) await setImmediate();
        if (done) break;
        const answered = waiting;
        if (answered.length === 0) throw new Error('nobody asks, and nobody is done');
        waiting = [];
        asked.push(answered.map(({ label }) => label).sort());
        for (const { go } of answered) go();
      }
      await finished;
      return asked;
    },
  };
}

const FAMILY: Readonly<Record<string, PretendedImage>> = {
  'app:0': { dockerfile: 'FROM app:1\nRUN app:0\nCOPY --from=tool:1 / /', shownOn: 'app:1' },
  'app:1': { dockerfile: 'FROM app:2\nRUN app:1', shownOn: 'app:2' },
  'app:2': { dockerfile: 'FROM app:3\nRUN app:2', shownOn: 'app:3' },
  'app:3': { dockerfile: 'FROM scratch\nRUN app:3', shownOn: 'scratch' },
  'tool:1': { dockerfile: 'FROM scratch\nRUN tool:1', shownOn: 'scratch' },
};

/** Every image has an annotation that names another base. */
function strange(family: typeof FAMILY): typeof FAMILY {
  return Object.fromEntries(
    Object.entries(family).map(([name, image]) => [name, { ...image, stranger: true }]),
  );
}

describe('resolveLineage() waits', () => {
  test.each([
    ['', FAMILY],
    [', and not for what only another name leads to', strange(FAMILY)],
  ])('for three answers an image, and for one more at the end%s', async (_name, family) => {
    const { turn, run } = rounds();
    const lineage = resolveLineage('app:0', pretendWorld(family, turn));
    const asked = await run(lineage);
    expect((await lineage).nodes).toHaveLength(5);
    expect((await lineage).conflicts).toHaveLength(family === FAMILY ? 0 : 5);
    expect((await lineage).edges.filter(({ grade }) => grade === 'proven')).toHaveLength(3);
    // Commit of the library file, the file, the Dockerfile it names; then whether the last commit is in a branch.
    expect(asked.map((round) => round.filter((label) => /^(commit|library|file|reach)/.test(label)))).toEqual(
      [
        ['commit app:0'],
        ['library app:0'],
        ['file app:0'],
        ['commit app:1', 'commit tool:1', `reachability ${'a'.repeat(40)}`],
        ['library app:1', 'library tool:1'],
        ['file app:1', 'file tool:1'],
        ['commit app:2'],
        ['library app:2'],
        ['file app:2'],
        ['commit app:3'],
        ['library app:3'],
        ['file app:3'],
      ],
    );
  });

  test('for nothing that was read for another image of the run', async () => {
    const cache = createLineageCache();
    const asked: string[] = [];
    const turn: Turn = async (label, make) => {
      asked.push(label);
      return make();
    };
    const services = pretendWorld(FAMILY, turn);
    await resolveLineage('app:1', { ...services, cache });
    const before = asked.length;
    await resolveLineage('app:0', { ...services, cache });
    expect(asked.slice(before).filter((label) => /app:[123]/.test(label))).toEqual([]);
    const after = asked.length;
    await resolveLineage('app:0', { ...services, cache });
    expect(asked).toHaveLength(after);
  });

  test('for an image once, though two paths lead to it', async () => {
    const asked: string[] = [];
    const turn: Turn = async (label, make) => {
      asked.push(label);
      await setImmediate();
      return make();
    };
    const twice = {
      'app:0': { dockerfile: 'FROM app:1\nCOPY --from=app:2 / /\nCOPY --from=app:1 / /' },
      'app:1': { dockerfile: 'FROM app:2' },
      'app:2': { dockerfile: 'FROM scratch' },
    };
    await resolveLineage('app:0', pretendWorld(twice, turn));
    expect(asked.filter((label) => label === 'file app:2' || label === 'commit app:2')).toHaveLength(2);
  });

  test('and reads no more ahead than it may visit', async () => {
    const copies = Array.from({ length: 500 }, (_item, at) => `COPY --from=tool:${at} / /`).join('\n');
    const asked = new Set<string>();
    const turn: Turn = async (label, make) => {
      asked.add(label);
      return make();
    };
    const images = {
      'app:0': { dockerfile: `FROM app:1\n${copies}` },
      'app:1': { dockerfile: 'FROM scratch' },
    };
    const lineage = await resolveLineage('app:0', { ...pretendWorld(images, turn), maxImages: 20 });
    expect(lineage.nodes).toHaveLength(20);
    expect([...asked].filter((label) => label.startsWith('commit')).length).toBeLessThanOrEqual(21);
  });

  test('for nobody after it was aborted', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    let asked = 0;
    const turn: Turn = async (_label, make) => {
      asked += 1;
      if (asked === 6) controller.abort(reason);
      await setImmediate();
      return make();
    };
    const { signal } = controller;
    await expect(resolveLineage('app:0', { ...pretendWorld(FAMILY, turn), signal })).rejects.toBe(reason);
    for (let idle = 0; idle < 20; idle += 1) await setImmediate();
    expect(asked).toBeLessThan(12);
  });
});
