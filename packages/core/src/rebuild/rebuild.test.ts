import { Readable } from 'node:stream';
import { buffer as consumeBuffer, text as consumeText } from 'node:stream/consumers';
import { digestOf, formatReference, parseReference, type ResolvedImage } from '@imagevet/registry';
import { extract } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import type { BuildParameters } from '../dockerfile/types.ts';
import { CoreError } from '../errors.ts';
import { resolveLineage } from '../lineage/resolve-lineage.ts';
import type { Lineage, ProvenanceSource, SourceEntry, SourceHost } from '../lineage/types.ts';
import { parseDockerignore } from './context/dockerignore.ts';
import { packContext } from './context/pack-context.ts';
import { readContext } from './context/read-context.ts';
import { pushStatus } from './engine/failures.ts';
import type { NameRule } from './plan/internal-names.ts';
import { planId } from './plan/plan-id.ts';
import { planRebuild } from './plan/plan-rebuild.ts';
import { rebuild } from './rebuild.ts';
import type { Builder, BuildRequest, BuiltImage, RebuildEvent, RebuildPlan, RebuildStep } from './types.ts';

const REPOSITORY = 'https://git.example/family';
const target = { registry: 'registry.internal', repositoryPrefix: 'vetted' };

function world(
  dockerfiles: Readonly<Record<string, string>>,
  files: readonly SourceEntry[] = [],
  builtWith: Readonly<Record<string, BuildParameters>> = {},
) {
  const source: ProvenanceSource = {
    kind: 'official-images',
    async *claims({ reference }) {
      const directory = `${reference.repository.replace('library/', '')}-${reference.tag}`;
      if (!Object.hasOwn(dockerfiles, directory)) return;
      const path = `${directory}/Dockerfile`;
      yield {
        kind: 'official-images',
        foundAt: 'x',
        location: { repository: REPOSITORY, commit: 'a'.repeat(40), directory, path },
        ...(builtWith[directory] === undefined ? {} : { parameters: builtWith[directory] }),
      };
    },
  };
  const host: SourceHost = {
    supports: () => true,
    readFile: async (_repository, _commit, path) => ({
      content: Buffer.from(dockerfiles[path.replace('/Dockerfile', '')] ?? ''),
      url: path,
    }),
    async *readDirectory() {
      yield* files;
    },
    commitOf: async () => 'a'.repeat(40),
    reachability: async () => 'reachable',
  };
  return {
    source,
    host,
    lineage: (image: string): Promise<Lineage> => resolveLineage(image, { sources: [source], host }),
  };
}

/** A builder that remembers what it was asked and answers from a table of failures. */
function recordingBuilder(
  failing: readonly string[] = [],
): Builder & { readonly requests: BuildRequest[]; running: number; most: number } {
  const builder = {
    name: 'recording',
    requests: [] as BuildRequest[],
    running: 0,
    most: 0,
    probe: async () => ({
      name: 'recording',
      version: '1',
      platform: { os: 'linux', architecture: 'amd64' },
    }),
    build: async (request: BuildRequest) => {
      builder.requests.push(request);
      builder.running += 1;
      builder.most = Math.max(builder.most, builder.running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      builder.running -= 1;
      if (failing.some((name) => request.target.repository.endsWith(name))) {
        throw new CoreError('BUILD_FAILED', 'make: *** no', { details: { line: 2 } });
      }
      const digest = digestOf(formatReference(request.target));
      return {
        reference: { ...request.target, digest },
        descriptor: { mediaType: 'm', digest, size: 1 },
        diffIds: [],
        imageId: digest,
      };
    },
  };
  return builder;
}

const DIAMOND = {
  'app-1': 'FROM left:1\nCOPY --from=right:1 a b',
  'left-1': 'FROM base:1\nRUN x',
  'right-1': 'FROM base:1\nRUN y',
  'base-1': 'FROM scratch\nADD rootfs.tar /',
};

describe('planRebuild()', () => {
  test('orders parents before children and shares ancestors', async () => {
    const plan = planRebuild([await world(DIAMOND).lineage('app:1')], { target });
    expect(plan.steps.map(({ id }) => id.split(' ')[0])).toEqual(
      ['base', 'left', 'right', 'app'].map((name) => `docker.io/library/${name}:1`),
    );
    expect(plan.steps.at(-1)?.inputs.map(({ kind, step }) => [kind, step?.split(' ')[0]])).toEqual([
      ['base', 'docker.io/library/left:1'],
      ['copy-from', 'docker.io/library/right:1'],
    ]);
    expect(formatReference(plan.steps[0]?.target ?? parseReference('x'))).toBe(
      'registry.internal/vetted/library/base:1',
    );
    expect(plan.gaps).toEqual([]);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test('gives a step the same key at every commit that has the same context', async () => {
    const { lineage } = world(DIAMOND);
    const known = await lineage('app:1');
    const keysAt = (commit: string, tree: string | undefined) => {
      const nodes = known.nodes.map((node) => {
        const location = { ...node.dockerfile.location!, commit };
        return { ...node, dockerfile: { ...node.dockerfile, location, contextTree: tree } };
      }) as Lineage['nodes'];
      return planRebuild([{ ...known, nodes }], { target }).steps.map(({ key }) => key);
    };
    const [one, other] = ['1', '2'].map((digit) => digit.repeat(40));
    expect(keysAt(other!, 'tree')).toEqual(keysAt(one!, 'tree'));
    expect(keysAt(one!, 'another')).not.toEqual(keysAt(one!, 'tree'));
    expect(keysAt(other!, undefined)).not.toEqual(keysAt(one!, undefined));
  });

  test('gives a step another key on another platform', async () => {
    const known = await world(DIAMOND).lineage('app:1');
    const keysOn = (architecture: string) => {
      const platform = { os: 'linux', architecture };
      const nodes = known.nodes.map((node) => ({ ...node, platform }));
      return planRebuild([{ ...known, platform, nodes }], { target }).steps.map(({ key }) => key);
    };
    expect(new Set([...keysOn('amd64'), ...keysOn('arm64')]).size).toBe(8);
  });

  test('gives a step a new key when anything below it changes, and only then', async () => {
    const keys = async (table: Record<string, string>) =>
      planRebuild([await world(table).lineage('app:1')], { target }).steps.map(({ key }) => key);
    const before = await keys(DIAMOND);
    expect(await keys(DIAMOND)).toEqual(before);
    const after = await keys({ ...DIAMOND, 'right-1': 'FROM base:1\nRUN z' });
    expect(after.map((key, index) => key === before[index])).toEqual([true, true, false, false]);
  });

  test('plans with what the lineage was read with, and only builds what it says', async () => {
    const table = {
      'app-1': 'ARG V=9\nFROM base:$V AS one\nFROM scratch\nCOPY x /',
      'base-1': 'FROM scratch\nCOPY y /',
    };
    const parameters = { buildArgs: { V: '1' }, target: 'one' };
    const { host } = world(table);
    const planned = async (asked: BuildParameters) =>
      planRebuild([await world(table, [], { 'app-1': asked }).lineage('app:1')], { target });
    const plan = await planned(parameters);
    expect(plan.steps.map(({ id }) => id.split(' ')[0])).toEqual(
      ['base', 'app'].map((name) => `docker.io/library/${name}:1`),
    );
    expect(plan.steps.map((step) => step.parameters)).toEqual([undefined, parameters]);
    const key = (of: RebuildPlan) => of.steps.at(-1)?.key;
    expect(key(await planned({ ...parameters, target: 'ONE' }))).not.toBe(key(plan));
    expect(key(await planned(parameters))).toBe(key(plan));
    const builder = recordingBuilder();
    await rebuild(plan, { builder, host });
    expect(builder.requests.at(-1)).toMatchObject({
      parameters,
      dockerfile: expect.stringContaining('FROM registry.internal/vetted-scratch/library/base@'),
    });
  });

  test('says what cannot be rebuilt, and what cannot for that reason', async () => {
    const { 'base-1': _gone, ...table } = DIAMOND;
    const plan = planRebuild([await world(table).lineage('app:1')], { target });
    expect(plan.steps).toEqual([]);
    expect(plan.gaps.map(({ code, node }) => `${code} ${node?.split(' ')[0]}`)).toEqual([
      'NOT_REBUILDABLE docker.io/library/base:1',
      'PARENT_NOT_REBUILDABLE docker.io/library/left:1',
      'PARENT_NOT_REBUILDABLE docker.io/library/right:1',
      'PARENT_NOT_REBUILDABLE docker.io/library/app:1',
    ]);
  });

  test.each([
    ['from itself', { 'app-1': 'FROM app:1 AS public\nFROM scratch\nCOPY --from=public / /' }, ['app:1']],
    [
      'from an image built on it',
      { 'app-1': 'FROM base:1', 'base-1': 'FROM scratch\nCOPY --from=app:1 /bin /bin' },
      ['base:1'],
    ],
  ])(
    'refuses an image that takes its files %s: it would be its own witness',
    async (_name, files, refused) => {
      const { lineage } = world(files);
      const found = await lineage('app:1');
      // A registry shows the public images, so that each could be pinned.
      const nodes = found.nodes.map((node) => {
        const image = { manifest: { digest: digestOf(node.id) }, execution: {} } as ResolvedImage;
        return { ...node, image };
      });
      const plan = planRebuild([{ ...found, nodes }], { target });
      expect(plan.gaps.map(({ code, node }) => [code, node])).toEqual(
        refused.map((image) => ['INPUT_CYCLE', `docker.io/library/${image} linux/amd64`]),
      );
      expect(plan.steps.map(({ id }) => id)).not.toContain(plan.gaps[0]?.node);
    },
  );

  test('keeps the tag of the public image, or the one it is told', async () => {
    const plan = planRebuild([await world(DIAMOND).lineage('app:1')], { target, tag: () => 'vetted' });
    expect(plan.steps.every((step) => step.target.tag === 'vetted')).toBe(true);
  });

  test('leaves a frontend out that no digest names, and pins one that a digest names', async () => {
    const digest = `sha256:${'5'.repeat(64)}`;
    for (const [name, expected] of [
      ['docker/dockerfile:1', []],
      [`docker/dockerfile:1@${digest}`, [digest]],
    ] as const) {
      const table = { 'app-1': `# syntax=${name}\nFROM scratch\nCOPY x /` };
      const plan = planRebuild([await world(table).lineage('app:1')], { target });
      expect(plan.steps[0]?.inputs.map(({ kind, pinned }) => kind === 'frontend' && pinned)).toEqual(
        expected,
      );
    }
  });

  test.each([
    ['an ARG without a value', 'ARG V\nFROM scratch\nCOPY --from=$V a b'],
    ['a file that is no Dockerfile', 'FROM scratch\nNONSENSE x'],
  ])('says that it does not know an input: %s', async (_name, text) => {
    const { lineage } = world({ 'app-1': 'FROM scratch' });
    const known = await lineage('app:1');
    const nodes = known.nodes.map((node) => ({ ...node, dockerfile: { ...node.dockerfile, text } }));
    const { steps, gaps } = planRebuild([{ ...known, nodes }], { target });
    expect([steps, gaps.map((gap) => gap.code)]).toEqual([[], ['INPUT_UNKNOWN']]);
  });

  test('does not plan an image that uses one the lineage does not know', async () => {
    const known = await world(DIAMOND).lineage('app:1');
    const edges = known.edges.filter(({ kind }) => kind === 'base');
    const { gaps } = planRebuild([{ ...known, edges }], { target });
    expect(gaps.map((gap) => gap.message)).toEqual([
      'docker.io/library/app:1 linux/amd64 cannot be rebuilt: nothing is known of docker.io/library/right:1, which line 2 uses',
    ]);
  });

  test('refuses lineages that disagree on an image', async () => {
    const lineages = await Promise.all(
      [DIAMOND, { ...DIAMOND, 'base-1': 'FROM scratch\nADD other.tar /' }].map((table) =>
        world(table).lineage('app:1'),
      ),
    );
    expect(() => planRebuild(lineages, { target })).toThrow(
      expect.objectContaining({ code: 'PLAN_INVALID' }),
    );
  });

  test('plans many images over shared bases in time that grows with their number', async () => {
    const table = Object.fromEntries([
      ['base-1', 'FROM scratch'],
      ...Array.from({ length: 400 }, (_, index) => [`app${index}-1`, 'FROM base:1\nRUN x']),
    ]) as Record<string, string>;
    const { lineage } = world(table);
    const lineages = await Promise.all(Array.from({ length: 400 }, (_, index) => lineage(`app${index}:1`)));
    expect(planRebuild(lineages, { target }).steps).toHaveLength(401);
  });

  test('refuses no lineage', () => {
    expect(() => planRebuild([], { target })).toThrow(expect.objectContaining({ code: 'PLAN_INVALID' }));
  });
});

describe('rebuild()', () => {
  const run = async (
    options: {
      failing?: readonly string[];
      concurrency?: number;
      keepGoing?: boolean;
      signal?: AbortSignal;
      files?: readonly SourceEntry[];
      table?: Record<string, string>;
      builder?: (builder: ReturnType<typeof recordingBuilder>) => Builder;
      onProgress?: (event: RebuildEvent) => void;
    } = {},
  ) => {
    const { lineage, host } = world(options.table ?? DIAMOND, options.files);
    const plan = planRebuild([await lineage('app:1')], { target });
    const builder = recordingBuilder(options.failing);
    const events: RebuildEvent[] = [];
    const result = await rebuild(plan, {
      builder: options.builder?.(builder) ?? builder,
      host,
      concurrency: options.concurrency,
      keepGoing: options.keepGoing,
      signal: options.signal,
      onProgress: (event) => {
        events.push(event);
        options.onProgress?.(event);
      },
    });
    return { result, builder, events };
  };

  test('builds each image on the rebuilt ones, by digest', async () => {
    const { result, builder } = await run();
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'built', 'built', 'built']);
    const app = builder.requests.find(({ target: { repository } }) => repository.endsWith('app'));
    expect(app?.dockerfile).toMatch(
      /^FROM registry\.internal\/vetted-scratch\/library\/left@sha256:[0-9a-f]{64}\nCOPY --from=registry\.internal\/vetted-scratch\/library\/right@sha256:[0-9a-f]{64} a b$/,
    );
    expect(app?.target.tag).toMatch(/^build-[0-9a-f]{40}$/);
  });

  test('takes a pinned public image from a mirror, by its digest, and a rebuilt one from nowhere else', async () => {
    const digest = `sha256:${'5'.repeat(64)}`;
    const table = {
      'app-1': `FROM base:1\nCOPY --from=quay.example/lib/tool:2@${digest} a b`,
      'base-1': 'FROM scratch\nADD rootfs.tar /',
    };
    const { lineage, host } = world(table);
    const plan = planRebuild([await lineage('app:1')], { target });
    const requestsWith = async (mirrors?: readonly NameRule[]) => {
      const builder = recordingBuilder();
      await rebuild(plan, { builder, host, ...(mirrors === undefined ? {} : { mirrors }) });
      return builder.requests;
    };
    const [, plain] = await requestsWith();
    const [, mirrored] = await requestsWith([
      { from: 'quay.example/*', to: 'mirror.corp/quay/*' },
      { from: '*', to: 'mirror.corp/rest/*' },
    ]);
    expect(plain?.dockerfile).toContain(`--from=quay.example/lib/tool@${digest} `);
    expect(mirrored?.dockerfile).toContain(`--from=mirror.corp/quay/lib/tool@${digest} `);
    expect(mirrored?.dockerfile.split('\n')[0]).toBe(plain?.dockerfile.split('\n')[0]);
    expect(Object.values(mirrored?.unedited?.pins ?? {})).toContain(`mirror.corp/quay/lib/tool@${digest}`);
    // The same image by the same digest: what one run built the other reuses.
    expect(mirrored?.target).toEqual(plain?.target);
    await expect(requestsWith([{ from: 'quay.example/*', to: 'mirror.corp' }])).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });

  test.each([1, 2])('never runs more than %i builds at once, and does not deadlock', async (concurrency) => {
    expect((await run({ concurrency })).builder.most).toBe(concurrency);
  });

  test('row 40: does not take an image that was built on another base', async () => {
    const { result } = await run({
      builder: (inner) => ({
        ...inner,
        build: async (request, options) => {
          const image = await inner.build(request, options);
          const { repository } = request.target;
          const own = digestOf(repository);
          const below = repository.endsWith('/left')
            ? digestOf('another base')
            : digestOf('vetted-scratch/library/base');
          return { ...image, diffIds: repository.endsWith('/base') ? [own] : [below, own] };
        },
      }),
    });
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'built', 'skipped']);
    expect(result.outcomes[1]).toMatchObject({
      code: 'BUILD_FAILED',
      message: expect.stringContaining('not built on its rebuilt base'),
    });
  });

  test('looks under another name once an image that is only copied from became another', async () => {
    const tags = async (content: string) => {
      const { builder } = await run({
        builder: (inner) => ({
          ...inner,
          build: async (request, options) => {
            const image = await inner.build(request, options);
            if (!request.target.repository.endsWith('/right')) return image;
            const digest = digestOf(content);
            return { ...image, reference: { ...image.reference, digest }, imageId: digest };
          },
        }),
      });
      const named = builder.requests.map(({ target: { repository, tag } }) => [
        repository.split('/').at(-1),
        tag,
      ]);
      return new Map(named as [string, string][]);
    };
    const [one, other] = [await tags('one'), await tags('other')];
    expect(other.get('left')).toBe(one.get('left'));
    expect(other.get('right')).toBe(one.get('right'));
    expect(other.get('app')).not.toBe(one.get('app'));
    expect(await tags('one')).toEqual(one);
  });

  test('skips only what stands on a failed step', async () => {
    const { result, events } = await run({ failing: ['/left'] });
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'built', 'skipped']);
    expect(result.outcomes[1]).toMatchObject({ code: 'BUILD_FAILED', line: 2 });
    expect(result.outcomes[3]).toMatchObject({ blockedBy: ['docker.io/library/left:1 linux/amd64'] });
    const ends = events.filter(({ type }) => type === 'step-finished');
    expect(ends).toHaveLength(4);
    expect(ends).toContainEqual(
      expect.objectContaining({
        step: 'docker.io/library/left:1 linux/amd64',
        code: 'BUILD_FAILED',
        line: 2,
      }),
    );
  });

  test('starts nothing more after a failure when told so', async () => {
    const { result } = await run({ failing: ['/left'], keepGoing: false, concurrency: 1 });
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'skipped', 'skipped']);
  });

  test.each([
    [1, 500, 'built', 2],
    [9, 500, 'failed', 2],
    [9, 403, 'failed', 1],
    [9, undefined, 'failed', 1],
  ])(
    'tries a push again that the registry failed: %d times with %s',
    async (times, status, outcome, builds) => {
      const { lineage, host } = world({ 'base-1': 'FROM scratch\nADD rootfs.tar /' });
      const plan = planRebuild([await lineage('base:1')], { target });
      const builder = recordingBuilder();
      const failing: Builder = {
        ...builder,
        async build(request, options) {
          const image = await builder.build(request, options);
          if (builder.requests.length <= times)
            throw new CoreError('PUSH_FAILED', 'no', {
              ...(status === undefined ? {} : { details: { status } }),
            });
          return image;
        },
      };
      const { outcomes } = await rebuild(plan, { builder: failing, host });
      expect(outcomes.map((one) => one.status)).toEqual([outcome]);
      expect(builder.requests.length).toBe(builds);
    },
  );

  test.each([
    ['received unexpected HTTP status: 500 Internal Server Error', 500],
    [
      'unexpected status from PUT request to http://r.example/v2/a/blobs/uploads/x?digest=y: 507 Insufficient Storage',
      507,
    ],
    ['unexpected status: 403 Forbidden', 403],
    ['denied: requested access to the resource is denied', undefined],
    ['status: 5000', undefined],
  ])('reads the status a push was refused with: %s', (told, status) => {
    expect(pushStatus(told)).toBe(status);
  });

  test('tries again when the engine went away, and not when the build failed', async () => {
    let lost = 1;
    const { result, builder } = await run({
      builder: (inner) => ({
        ...inner,
        build: async (request) => {
          if (request.target.repository.endsWith('base') && lost-- > 0)
            throw new CoreError('ENGINE_LOST', 'gone');
          return inner.build(request);
        },
      }),
      failing: ['/left'],
    });
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'built', 'skipped']);
    expect(builder.requests.map(({ target: { repository } }) => repository.split('/').at(-1)).sort()).toEqual(
      ['base', 'left', 'right'],
    );
  });

  test('reuses what an earlier run left, but not on another base', async () => {
    const digest = digestOf('kept');
    const kept: BuiltImage = {
      reference: { registry: 'r', repository: 'kept', digest },
      descriptor: { mediaType: 'm', digest, size: 1 },
      diffIds: [digestOf('layer')],
      imageId: digest,
    };
    const { result, builder } = await run({
      builder: (inner) => ({
        ...inner,
        find: async ({ target: { repository } }) => {
          if (repository.endsWith('base')) return kept;
          // Built on some other base.
          return repository.endsWith('left') ? { ...kept, diffIds: [digestOf('other')] } : undefined;
        },
        build: async (request) => ({ ...(await inner.build(request)), diffIds: kept.diffIds }),
      }),
    });
    expect(result.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused === true)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(builder.requests).toHaveLength(3);
  });

  test('refuses to build what it could not pin', async () => {
    // The quotes hide the name from the substitution.
    const table = { ...DIAMOND, 'app-1': 'FROM left:1\nCOPY --from=ri"ght:1" a b' };
    const { result, builder } = await run({ table });
    expect(result.outcomes.at(-1)).toMatchObject({ status: 'failed', code: 'BUILD_UNSUPPORTED', line: 2 });
    expect(builder.requests).toHaveLength(3);
  });

  test('stops everything, and rejects with the error, when something breaks that is no failure', async () => {
    const bug = new TypeError('bug');
    const signals: (AbortSignal | undefined)[] = [];
    const running = run({
      concurrency: 2,
      builder: (inner) => ({
        ...inner,
        build: async (request, options) => {
          if (request.target.repository.endsWith('left')) throw bug;
          signals.push(options?.signal);
          return inner.build(request);
        },
      }),
    });
    await expect(running).rejects.toBe(bug);
    expect(signals.every((signal) => signal?.aborted === true)).toBe(true);
  });

  test('lets the builder tidy up, also after an abort', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let released = 0;
    const running = run({
      signal: controller.signal,
      onProgress: ({ type }) => type === 'step-started' && controller.abort(reason),
      builder: (inner) => ({
        ...inner,
        release: async () => {
          released += 1;
        },
      }),
    });
    await expect(running).rejects.toBe(reason);
    expect(released).toBe(1);
  });

  test('takes a plan that was stored and loaded, with its members in any order, and none that was changed meanwhile', async () => {
    const { lineage, host } = world(DIAMOND);
    const plan = planRebuild([await lineage('app:1')], { target });
    const stored = JSON.stringify(plan, Object.keys(membersOf(plan)).sort().reverse());
    const loaded = JSON.parse(stored) as RebuildPlan;
    expect(Object.keys(loaded)).not.toEqual(Object.keys(plan));
    const { outcomes } = await rebuild(loaded, { builder: recordingBuilder(), host });
    expect(outcomes.every(({ status }) => status === 'built')).toBe(true);

    const edited = JSON.parse(stored.replace('FROM', 'FROM --platform=linux/s390x')) as RebuildPlan;
    const builder = recordingBuilder();
    await expect(rebuild(edited, { builder, host })).rejects.toThrow(
      expect.objectContaining({
        code: 'PLAN_INVALID',
        details: expect.objectContaining({ expected: plan.id }),
      }),
    );
    expect(builder.requests).toEqual([]);
  });

  test('refuses a plan that is out of order, and options that make no sense', async () => {
    const { lineage, host } = world(DIAMOND);
    const plan = planRebuild([await lineage('app:1')], { target });
    const builder = recordingBuilder();
    const withSteps = (steps: readonly RebuildStep[]) => ({
      ...plan,
      id: planId({ ...plan, steps }),
      steps,
    });
    for (const [changed, options, code] of [
      [withSteps(plan.steps.toReversed()), {}, 'PLAN_INVALID'],
      [withSteps([...plan.steps, ...plan.steps]), {}, 'PLAN_INVALID'],
      [plan, { concurrency: 0 }, 'INVALID_OPTIONS'],
      [plan, { attempts: 1.5 }, 'INVALID_OPTIONS'],
    ] as const) {
      await expect(rebuild(changed, { builder, host, ...options })).rejects.toThrow(
        expect.objectContaining({ code }),
      );
    }
    expect(builder.requests).toEqual([]);
  });

  test('rejects with the reason when aborted', async () => {
    const reason = new Error('enough');
    await expect(run({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('readContext() and packContext()', () => {
  const file = (path: string, content = path): SourceEntry => ({
    path,
    type: 'file',
    content: Buffer.from(content),
  });
  const location = { repository: REPOSITORY, commit: 'a'.repeat(40), directory: '.', path: 'Dockerfile' };

  test('applies .dockerignore as docker does', async () => {
    const files = [
      file('.dockerignore', '**/*.log\n!keep.log\nsecret/\n# comment\n'),
      file('a.log'),
      file('keep.log'),
      file('deep/b.log'),
      file('secret/key'),
      file('src/x'),
    ];
    const context = await readContext(world({}, files).host, location);
    expect(context.map(({ path }) => path)).toEqual(['.dockerignore', 'keep.log', 'src/x']);
  });

  const packed = async (
    entries: readonly SourceEntry[],
    options: Partial<Parameters<typeof packContext>[1]> = {},
  ) => {
    const { tar, name } = packContext(entries, { text: 'FROM scratch', backend: 'classic', ...options });
    const bytes = await consumeBuffer(tar);
    const listed: {
      name: string;
      type: string | null | undefined;
      mode: number | undefined;
      text: string;
    }[] = [];
    for await (const entry of Readable.from([bytes]).pipe(extract())) {
      const { header } = entry;
      const text = await consumeText(entry);
      listed.push({ name: header.name, type: header.type, mode: header.mode, text });
    }
    return { name, digest: digestOf(bytes), listed };
  };

  test('packs the same bytes whatever the order', async () => {
    const entries: SourceEntry[] = [
      file('b'),
      { ...file('a'), type: 'executable' },
      { path: 'l', type: 'symlink', content: Buffer.from('a') },
    ];
    expect((await packed(entries.toReversed())).digest).toBe((await packed(entries)).digest);
  });

  test('names every directory, so that no engine chooses its mode', async () => {
    const { listed } = await packed([file('a/b/c'), file('a/d')]);
    expect(listed.filter(({ type }) => type === 'directory').map(({ name, mode }) => [name, mode])).toEqual([
      ['a', 0o755],
      ['a/b', 0o755],
    ]);
  });

  test.each([
    ['classic', ['.dockerignore', 'Dockerfile', 'x']],
    ['podman', ['.dockerignore', 'Dockerfile', 'x']],
    ['buildkit', ['Dockerfile', 'x']],
  ] as const)(
    'sends the Dockerfile beside the context so that %s does not copy it',
    async (backend, expected) => {
      const { name, listed } = await packed([file('Dockerfile', 'FROM public'), file('x')], {
        backend,
        path: 'Dockerfile',
      });
      expect(listed.find((entry) => entry.name === name)?.text).toBe('FROM scratch');
      expect(
        listed.map((entry) => entry.name).filter((path) => backend === 'buildkit' || path !== name),
      ).toEqual(expected);
      const rules = listed.find((entry) => entry.name === '.dockerignore');
      if (backend !== 'buildkit') expect(rules?.text).toBe(`.dockerignore\n${name}\n`);
    },
  );

  test.each(['*.log\n.git', 'Dockerfile', '# x\n**/build/\n!keep', '?'])(
    'leaves rules that leave something out as they are: %j',
    async (rules) => {
      const context = [file('.dockerignore', rules), file('x')];
      const { name, listed } = await packed(context, { backend: 'classic', path: 'Dockerfile' });
      expect(listed.find((entry) => entry.name === '.dockerignore')?.text).toBe(rules);
      expect(listed.find((entry) => entry.name === name)?.text).toBe('FROM scratch');
      expect(parseDockerignore(rules).ignores(name)).toBe(true);
    },
  );

  test.each([['../x'], ['/etc/passwd'], ['a/../../b'], [''], ['a//b'], ['./a']])(
    'refuses a path that leaves the context: %j',
    async (path) => {
      await expect(readContext(world({}, [file(path)]).host, location)).rejects.toThrow(
        expect.objectContaining({ code: 'SOURCE_INVALID' }),
      );
    },
  );

  test('refuses a path that comes twice, and more than a context may hold', async () => {
    await expect(readContext(world({}, [file('a'), file('a')]).host, location)).rejects.toThrow(
      expect.objectContaining({ code: 'SOURCE_INVALID' }),
    );
    const many = {
      async *readDirectory() {
        for (let index = 0; ; index += 1) yield { ...file('x'), path: `f${index}` };
      },
    };
    await expect(readContext(many, location)).rejects.toThrow(
      expect.objectContaining({ code: 'SOURCE_LIMIT_EXCEEDED' }),
    );
    const content = { byteLength: 2 ** 30 } as Uint8Array;
    const large = [1, 2, 3].map((index) => ({ ...file(`f${index}`), content }));
    await expect(readContext(world({}, large).host, location)).rejects.toThrow(
      expect.objectContaining({ code: 'SOURCE_LIMIT_EXCEEDED' }),
    );
  });

  test('refuses rules that are a Git LFS pointer', async () => {
    const rules = file('.dockerignore', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n');
    await expect(readContext(world({}, [rules, file('a')]).host, location)).rejects.toThrow(
      expect.objectContaining({ code: 'SOURCE_UNSUPPORTED' }),
    );
  });

  test('prefers the rules of the Dockerfile, as BuildKit does', async () => {
    const files = [file('.dockerignore', 'b'), file('Dockerfile.dockerignore', 'a'), file('a'), file('b')];
    const context = await readContext(world({}, files).host, location);
    expect(context.map(({ path }) => path)).toEqual(['.dockerignore', 'Dockerfile.dockerignore', 'b']);
  });
});

/** The names of all members of a value, however deep. */
function membersOf(value: unknown): Record<string, true> {
  const names: Record<string, true> = {};
  JSON.stringify(value, (name: string, member: unknown) => {
    names[name] = true;
    return member;
  });
  return names;
}
