import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  digestOf,
  formatReference,
  parseReference,
  RegistryClient,
  resolveImage,
  scanImage,
} from '@imagevet/registry';
import {
  createRepository,
  pushTestImage,
  startRegistry,
  type TestRegistry,
} from '@imagevet/registry/testing';
import { Queue } from 'bullmq';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  available,
  dockerHost,
  freePort,
  type RedisService,
  startRedis,
} from '../../../../../test/services.ts';
import { CoreError } from '../../errors.ts';
import type { SourceHost } from '../../lineage/types.ts';
import type { QueueWorkerTask } from '../__fixtures__/queue-worker.ts';
import { existingImage } from '../claim-name.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';
import { planId } from '../plan/plan-id.ts';
import { rebuild } from '../rebuild.ts';
import type { Builder, BuildRequest, BuiltImage, RebuildEvent, RebuildPlan, RebuildStep } from '../types.ts';
import { openStepQueue, type StepQueueOptions, type StepWorkerOptions, startStepWorker } from './index.ts';
import { parseJob, parseOutcome, parseProgress, toJob } from './message.ts';

const REPOSITORY = 'https://git.example/org/queued';
const platform = { os: 'linux', architecture: 'amd64' };
const code = (expected: string) => expect.objectContaining({ code: expected });

/** A plan written down: name -> Dockerfile, and the names it stands on. */
function planOf(
  registry: string,
  table: Readonly<
    Record<string, { readonly dockerfile: string; readonly on?: readonly string[]; pinned?: string }>
  >,
  commit = 'a'.repeat(40),
): RebuildPlan {
  const nameOf = (name: string) => ({ registry, repository: `public/${name}`, tag: '1' });
  const steps = Object.entries(table).map(
    ([name, { dockerfile, on = [], pinned }]): RebuildStep => ({
      id: name,
      key: Buffer.from(name.padEnd(20, '.')).toString('hex'),
      reference: nameOf(name),
      platform,
      location: { repository: REPOSITORY, commit, directory: name, path: `${name}/Dockerfile` },
      dockerfile,
      inputs: [
        ...(pinned === undefined
          ? []
          : [{ kind: 'base' as const, reference: formatReference(nameOf('debian')), pinned }]),
        ...on.map((parent, index) => ({
          kind: index === 0 && pinned === undefined ? ('base' as const) : ('copy-from' as const),
          reference: formatReference(nameOf(parent)),
          step: parent,
        })),
      ] as RebuildStep['inputs'],
      target: { registry, repository: `vetted/${name}`, tag: '1' },
      scratch: { registry, repository: `vetted-scratch/${name}` },
    }),
  );
  return { id: planId({ platform, steps }), platform, steps, gaps: [] };
}

/** Each stands on the ones before: base <- left, right <- app. */
function diamond(registry: string): RebuildPlan {
  return planOf(registry, {
    base: { dockerfile: 'FROM scratch\nCOPY x /' },
    left: { dockerfile: `FROM ${registry}/public/base:1\nCOPY x /`, on: ['base'] },
    right: { dockerfile: `FROM ${registry}/public/base:1\nCOPY x /`, on: ['base'] },
    app: {
      dockerfile: `FROM ${registry}/public/left:1\nCOPY --from=${registry}/public/right:1 x /`,
      on: ['left', 'right'],
    },
  });
}

describe.skipIf(!available('redis-server'))('openStepQueue() and startStepWorker()', () => {
  let redis: RedisService;
  let registry: TestRegistry;
  const client = new RegistryClient({ attempts: 1 });
  const host: SourceHost = {
    supports: () => true,
    readFile: async () => ({ content: Buffer.from(''), url: 'x' }),
    async *readDirectory() {
      yield { path: 'x', type: 'file', content: Buffer.from('x') };
    },
    commitOf: async () => 'a'.repeat(40),
    reachability: async () => 'reachable',
  };

  beforeAll(async () => {
    redis = await startRedis();
    registry = await startRegistry();
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
    await redis.close();
  });

  /** Pushes a small real image instead of building one. */
  const pushing = (
    during: (
      request: BuildRequest,
      options: Parameters<Builder['build']>[1],
    ) => Promise<void> = async () => {},
  ) => {
    const built: string[] = [];
    const builder: Builder & { readonly built: readonly string[] } = {
      name: 'pushing',
      built,
      probe: async () => ({ name: 'pushing', version: '1', platform }),
      find: (request, options) => existingImage(request, client, options ?? {}),
      build: async (request, options) => {
        built.push(request.target.repository);
        options?.onProgress?.({ type: 'build-log', text: `making ${request.target.repository}` });
        await during(request, options);
        const base = /^FROM (\S+@\S+)$/m.exec(request.dockerfile)?.[1];
        await pushTestImage(client, request.target, {
          layers: [[{ path: request.target.repository }]],
          ...(base === undefined
            ? {}
            : { base: await resolveImage(parseReference(base), { source: client, platform }) }),
        });
        const image = await existingImage(request, client, {});
        if (image === undefined) throw new Error('the image is gone');
        return image;
      },
    };
    return builder;
  };
  let queues = 0;
  const setting = async (
    builders: readonly Builder[],
    options: {
      queue?: Partial<StepQueueOptions>;
      worker?: Partial<StepWorkerOptions>;
      redis?: RedisService;
    } = {},
  ) => {
    queues += 1;
    const connection = { connection: (options.redis ?? redis).url, queue: `test${queues}` };
    const workers = await Promise.all(
      builders.map((builder) => startStepWorker({ ...connection, builder, host, ...options.worker })),
    );
    const runner = await openStepQueue({ ...connection, ...options.queue });
    onTestFinished(async () => {
      await runner.close();
      await Promise.all(workers.map((worker) => worker.close()));
    });
    return { runner, workers, connection };
  };
  /** A registry path of its own for each test, so that nothing is found that another test left. */
  const fresh = (plan: RebuildPlan): RebuildPlan => {
    const own = `t${Math.random().toString(36).slice(2)}`;
    const steps = plan.steps.map((step) => ({
      ...step,
      target: { ...step.target, repository: `${own}/${step.target.repository}` },
      scratch: { ...step.scratch, repository: `${own}/${step.scratch.repository}` },
    }));
    return { ...plan, id: planId({ ...plan, steps }), steps };
  };

  test('builds a diamond on two workers, each image once, and tells what happens', async () => {
    const builders = [pushing(), pushing()];
    const { runner } = await setting(builders);
    const events: RebuildEvent[] = [];
    const result = await rebuild(fresh(diamond(registry.host)), {
      runner,
      onProgress: (event) => events.push(event),
    });
    expect(result.outcomes.map(({ status }) => status)).toEqual(['built', 'built', 'built', 'built']);
    expect(builders.flatMap(({ built }) => built)).toHaveLength(4);
    expect(result.engine.name).toMatch(/^queue test/);
    expect(events.filter(({ type }) => type === 'step-finished')).toHaveLength(4);
    expect(events.flatMap((event) => (event.type === 'step-log' ? [event.text] : []))).toContainEqual(
      expect.stringMatching(/^making .*\/vetted-scratch\/app$/),
    );
  });

  test('takes what is in the registry, and builds anew when told so', async () => {
    const builder = pushing();
    const { runner } = await setting([builder]);
    const plan = fresh(diamond(registry.host));
    await rebuild(plan, { runner });
    const again = await rebuild(plan, { runner });
    expect(again.outcomes.map((outcome) => outcome.status === 'built' && outcome.reused)).toEqual(
      Array(4).fill(true),
    );
    expect(builder.built).toHaveLength(4);
    await rebuild(plan, { runner, reuse: false });
    expect(builder.built).toHaveLength(8);
  });

  test('builds once what two callers want at the same time', async () => {
    const builder = pushing(() => delay(50));
    const { runner, connection } = await setting([builder]);
    const other = await openStepQueue(connection);
    onTestFinished(() => other.close());
    const plan = fresh(diamond(registry.host));
    const results = await Promise.all([rebuild(plan, { runner }), rebuild(plan, { runner: other })]);
    for (const { outcomes } of results)
      expect(outcomes.map(({ status }) => status)).toEqual(['built', 'built', 'built', 'built']);
    expect(new Set(builder.built).size).toBe(4);
    expect(builder.built).toHaveLength(4);
  });

  test('tells a failure with its line, and skips only what stands on it', async () => {
    const builder = pushing(async ({ target }) => {
      if (target.repository.endsWith('/left'))
        throw new CoreError('BUILD_FAILED', 'make: *** no', { details: { line: 2 } });
    });
    const { runner } = await setting([builder]);
    const plan = fresh(diamond(registry.host));
    const { outcomes } = await rebuild(plan, { runner });
    expect(outcomes.map(({ status }) => status)).toEqual(['built', 'failed', 'built', 'skipped']);
    expect(outcomes[1]).toMatchObject({
      code: 'BUILD_FAILED',
      line: 2,
      log: [expect.stringMatching(/^making/)],
    });
    // A failure is not remembered: who asks again gets another try.
    expect((await rebuild(plan, { runner })).outcomes[1]?.status).toBe('failed');
    expect(builder.built.filter((name) => name.endsWith('/left'))).toHaveLength(2);
  });

  test('tells what is wrong with the worker itself', async () => {
    const builder = pushing(async () => {
      throw new TypeError('a defect');
    });
    const { runner } = await setting([builder]);
    const { outcomes } = await rebuild(fresh(diamond(registry.host)), { runner });
    expect(outcomes[0]).toMatchObject({
      status: 'failed',
      code: 'WORKER_LOST',
      message: expect.stringContaining('a defect'),
    });
    expect(builder.built).toHaveLength(1);
  });

  test('row 40: a worker that tells of another image than it was asked for is not believed', async () => {
    for (const lie of [
      (image: BuiltImage) => ({ ...image, reference: { ...image.reference, registry: 'evil.example' } }),
      (image: BuiltImage) => ({ ...image, reference: { ...image.reference, repository: 'other' } }),
      (image: BuiltImage) => ({ ...image, reference: { ...image.reference, digest: digestOf('other') } }),
    ]) {
      const honest = pushing();
      const builder = {
        ...honest,
        build: async (...asked: Parameters<Builder['build']>) => lie(await honest.build(...asked)),
      };
      const { runner } = await setting([builder]);
      const { outcomes } = await rebuild(fresh(diamond(registry.host)), { runner });
      expect(outcomes.map(({ status }) => status)).toEqual(['failed', 'skipped', 'skipped', 'skipped']);
      expect(outcomes[0]).toMatchObject({ code: 'QUEUE_INVALID' });
    }
  });

  test('a worker pushes nowhere else than it was told', async () => {
    const builder = pushing();
    const target = { registry: registry.host, repositoryPrefix: 'vetted' };
    const { runner } = await setting([builder], { worker: { target } });
    const plan = diamond(registry.host);
    const [base] = (await rebuild(plan, { runner })).outcomes;
    expect(base).toMatchObject({ status: 'built' });
    const { outcomes } = await rebuild(fresh(plan), { runner });
    expect(outcomes[0]).toMatchObject({
      status: 'failed',
      message: expect.stringContaining('this worker pushes to'),
    });
    expect(builder.built.every((repository) => repository.startsWith('vetted-scratch/'))).toBe(true);
  });

  test('a build goes on as long as its caller waits, however long that is', async () => {
    const builder = pushing(async (_request, options) => {
      await delay(4000, undefined, { signal: options?.signal }).catch(() => {});
      options?.signal?.throwIfAborted();
    });
    const { runner, connection } = await setting([builder], { queue: { pollMs: 100, refreshMs: 200 } });
    const plan = fresh(planOf(registry.host, { base: { dockerfile: 'FROM scratch\nCOPY x /' } }));
    const running = rebuild(plan, { runner });
    const own = new Redis(redis.url);
    onTestFinished(() => own.disconnect());
    // As at the end of a day.
    let keys: string[] = [];
    while (keys.length === 0) {
      await delay(50);
      keys = await own.keys(`imagevet:${connection.queue}:wanted:*`);
    }
    await own.expire(keys[0] ?? '', 1);
    expect((await running).outcomes.map(({ status }) => status)).toEqual(['built']);
    expect(builder.built).toHaveLength(1);
  }, 20_000);

  test('an abort stops the build nobody else waits for, and rejects with its reason', async () => {
    const started = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<unknown>();
    const builder = pushing(async (_request, options) => {
      started.resolve();
      await delay(60_000, undefined, { signal: options?.signal }).catch(() => {});
      stopped.resolve(options?.signal?.reason);
      options?.signal?.throwIfAborted();
    });
    const { runner } = await setting([builder]);
    const abort = new AbortController();
    const reason = new CoreError('SOURCE_DENIED', 'enough');
    const running = rebuild(fresh(diamond(registry.host)), { runner, signal: abort.signal });
    await started.promise;
    abort.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(await stopped.promise).toMatchObject({ message: 'nobody waits for it any more' });
  });

  test('a build another caller waits for goes on after an abort', async () => {
    const started = Promise.withResolvers<void>();
    const builder = pushing(async () => {
      started.resolve();
      await delay(2500);
    });
    const { runner, connection } = await setting([builder]);
    const other = await openStepQueue(connection);
    onTestFinished(() => other.close());
    const plan = fresh(planOf(registry.host, { base: { dockerfile: 'FROM scratch\nCOPY x /' } }));
    const abort = new AbortController();
    const given = rebuild(plan, { runner, signal: abort.signal });
    const kept = rebuild(plan, { runner: other });
    await started.promise;
    await delay(100);
    abort.abort(new Error('gone'));
    await expect(given).rejects.toThrow('gone');
    expect((await kept).outcomes.map(({ status }) => status)).toEqual(['built']);
    expect(builder.built).toHaveLength(1);
  });

  test('ends when Redis is killed and started again under it', async () => {
    const own = await startRedis();
    onTestFinished(() => own.close());
    const started = Promise.withResolvers<void>();
    const builder = pushing(async () => {
      started.resolve();
      await delay(1000);
    });
    const { runner } = await setting([builder], {
      redis: own,
      queue: { pollMs: 500 },
      worker: { lockMs: 3000 },
    });
    const plan = fresh(diamond(registry.host));
    const running = rebuild(plan, { runner });
    await started.promise;
    await own.restart();
    expect((await running).outcomes.map(({ status }) => status)).toEqual([
      'built',
      'built',
      'built',
      'built',
    ]);
    const pushes = plan.steps.map(
      ({ scratch }) =>
        registry.requests.filter((line) => line.startsWith(`PUT /v2/${scratch.repository}/manifests/build-`))
          .length,
    );
    expect(pushes).toEqual([1, 1, 1, 1]);
  });

  test('puts a step into the queue again when Redis comes back empty', async () => {
    const { runner, connection } = await setting([], { queue: { pollMs: 200 } });
    const running = rebuild(
      fresh(planOf(registry.host, { base: { dockerfile: 'FROM scratch\nCOPY x /' } })),
      { runner },
    );
    const queue = new Queue(connection.queue, { connection: { url: redis.url }, prefix: 'imagevet' });
    while ((await queue.getWaitingCount()) === 0) await delay(20);
    await queue.obliterate({ force: true });
    await queue.close();
    await using _worker = await startStepWorker({ ...connection, builder: pushing(), host });
    expect((await running).outcomes.map(({ status }) => status)).toEqual(['built']);
  });

  test('refuses a job that is no build, and goes on', async () => {
    const { runner, connection } = await setting([pushing()]);
    const queue = new Queue(connection.queue, { connection: { url: redis.url }, prefix: 'imagevet' });
    onTestFinished(() => queue.close());
    const job = await queue.add('nonsense', { version: 1, step: {} });
    while ((await job.getState()) !== 'failed') await delay(20);
    expect((await queue.getJob(job.id ?? ''))?.failedReason).toMatch(/no build of version 3/);
    const { outcomes } = await rebuild(fresh(diamond(registry.host)), { runner });
    expect(outcomes).toHaveLength(4);
  });

  test('says that it was closed before the builds were done', async () => {
    const runner = await openStepQueue({ connection: redis.url, queue: 'closed', pollMs: 50 });
    const started = Promise.withResolvers<void>();
    const running = rebuild(diamond(registry.host), {
      runner,
      onProgress: ({ type }) => type === 'step-started' && started.resolve(),
    });
    running.catch(() => {});
    await started.promise;
    await runner.close();
    await expect(running).rejects.toThrow(code('QUEUE_UNREACHABLE'));
  });

  test('says that no Redis answers', async () => {
    const connection = `redis://127.0.0.1:${await freePort()}`;
    await expect(openStepQueue({ connection, timeoutMs: 300 })).rejects.toThrow(code('QUEUE_UNREACHABLE'));
    await expect(startStepWorker({ connection, timeoutMs: 300, builder: pushing(), host })).rejects.toThrow(
      code('QUEUE_UNREACHABLE'),
    );
  });

  test('says that Redis went away, and closes without it', async () => {
    const own = await startRedis();
    const runner = await openStepQueue({ connection: own.url, timeoutMs: 300 });
    await own.close();
    await expect(rebuild(diamond(registry.host), { runner })).rejects.toThrow(code('QUEUE_UNREACHABLE'));
    await runner.close();
  });

  describe.skipIf(!available('docker-engine', 'docker', 'git'))(
    'with workers as processes, on a Docker Engine',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'imagevet-queue-'));
      const children: ChildProcess[] = [];
      afterAll(() => {
        for (const child of children) child.kill('SIGKILL');
        rmSync(directory, { recursive: true, force: true });
      });

      const startWorker = async (task: QueueWorkerTask) => {
        const script = fileURLToPath(new URL('../__fixtures__/queue-worker.ts', import.meta.url));
        const child = spawn(
          process.execPath,
          ['--conditions=@imagevet/source', script, JSON.stringify(task)],
          {
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        );
        children.push(child);
        const lines: string[] = [];
        const told = Promise.withResolvers<void>();
        child.stdout.on('data', (chunk: Buffer) => {
          lines.push(...chunk.toString('utf8').split('\n').filter(Boolean));
          if (lines.includes('ready')) told.resolve();
        });
        child.once('exit', () => told.reject(new Error('the worker ended')));
        await told.promise;
        return { child, lines };
      };

      /** A diamond of real builds, whose steps take two seconds, and a Redis of its own. */
      const prepare = async () => {
        const own = await startRedis();
        onTestFinished(() => own.close());
        const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
        const debian = await builder.build({
          dockerfile: 'FROM local/debian:bookworm-slim',
          context: [],
          platform,
          target: { registry: registry.host, repository: 'public/debian', tag: '1' },
        });
        await builder.release?.();
        const files = Object.fromEntries(
          ['base', 'left', 'right', 'app'].flatMap((name) => [
            [`${name}/Dockerfile`, 'elsewhere'],
            [`${name}/x`, name],
          ]),
        );
        const { path: remote, commits } = await createRepository(mkdtempSync(join(directory, 'git-')), [
          { files, message: 'Add', date: '2026-01-02T03:04:05Z' },
        ]);
        const from = (name: string) => `FROM ${registry.host}/public/${name}:1`;
        const plan = fresh(
          planOf(
            registry.host,
            {
              base: {
                dockerfile: `${from('debian')}\nRUN sleep 2`,
                pinned: debian.reference.digest ?? '',
              },
              left: { dockerfile: `${from('base')}\nCOPY x /left\nRUN sleep 2`, on: ['base'] },
              right: { dockerfile: `${from('base')}\nCOPY x /right\nRUN sleep 2`, on: ['base'] },
              app: {
                dockerfile: `${from('left')}\nCOPY --from=${registry.host}/public/right:1 /right /`,
                on: ['left', 'right'],
              },
            },
            commits[0],
          ),
        );
        const task = (name: string, extra: Partial<QueueWorkerTask> = {}): QueueWorkerTask => ({
          connection: own.url,
          name,
          lockMs: 4000,
          dockerHost: dockerHost ?? '',
          mirrors: mkdtempSync(join(directory, 'mirror-')),
          remotes: { [REPOSITORY]: remote },
          holdMs: 0,
          aheadMs: 0,
          ...extra,
        });
        return { own, plan, task };
      };

      const pushesOf = (plan: RebuildPlan) =>
        plan.steps.map(
          ({ scratch }) =>
            registry.requests.filter((line) =>
              new RegExp(`^PUT /v2/${scratch.repository}/manifests/build-[0-9a-f]+(?!.*-raw)`).test(line),
            ).length,
        );

      test.each([
        ['mid-build', 'building'],
        ['after a push nobody was told of', 'pushed'],
      ])(
        'one killed %s, and Redis restarted: the plan completes, each image pushed once',
        async (_when, moment) => {
          const { own, plan, task } = await prepare();
          const holdMs = moment === 'pushed' ? 1500 : 0;
          const workers = await Promise.all(
            ['one', 'two'].map((name) => startWorker(task(name, { holdMs }))),
          );
          await using runner = await openStepQueue({ connection: own.url, pollMs: 500 });
          const running = rebuild(plan, { runner });
          // The first that has a step of the second level in hand dies with it.
          const victim = await first(
            workers,
            ({ lines }) => lines.includes(`${moment} left`) || lines.includes(`${moment} right`),
          );
          if (moment === 'building') await delay(700);
          victim.child.kill('SIGKILL');
          await own.restart();
          const { outcomes } = await running;
          expect(
            outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.message : outcome.status)),
          ).toEqual(Array(4).fill('built'));
          expect(pushesOf(plan)).toEqual([1, 1, 1, 1]);
          const app = outcomes.at(-1);
          if (app?.status !== 'built') throw new Error('app was not built');
          const image = await resolveImage(app.image.reference, { source: client, platform });
          const { layers } = await scanImage(image, { source: client });
          const paths = layers.flatMap(({ entries }) => entries.map(({ path }) => path.replace(/^\//, '')));
          expect(paths).toEqual(expect.arrayContaining(['left', 'right']));
        },
        120_000,
      );

      test('clocks that are days apart build each image once, and no lock is taken for stalled', async () => {
        const { own, plan, task } = await prepare();
        const day = 24 * 60 * 60 * 1000;
        const workers = await Promise.all(
          [-3 * day, 3 * day].map((aheadMs, index) => startWorker(task(`clock-${index}`, { aheadMs }))),
        );
        await using runner = await openStepQueue({ connection: own.url, pollMs: 500 });
        const { outcomes } = await rebuild(plan, { runner });
        expect(outcomes.map(({ status }) => status)).toEqual(Array(4).fill('built'));
        expect(pushesOf(plan)).toEqual([1, 1, 1, 1]);
        // Both had work, and none was begun twice.
        const begun = workers.flatMap(({ lines }) => lines.filter((line) => line.startsWith('building ')));
        expect(begun.sort()).toEqual(['app', 'base', 'left', 'right'].map((name) => `building ${name}`));
        expect(workers.every(({ lines }) => lines.some((line) => line.startsWith('building ')))).toBe(true);
      }, 120_000);
    },
  );
});

async function first<T>(items: readonly T[], holds: (item: T) => boolean): Promise<T> {
  for (;;) {
    const found = items.find(holds);
    if (found !== undefined) return found;
    await delay(50);
  }
}

describe('messages of the queue', () => {
  const plan = diamond('registry.example');
  const [step] = plan.steps as [RebuildStep];

  test('a job survives the queue', () => {
    const job = toJob(step, new Map(), { attempts: 2 });
    expect(parseJob(JSON.parse(JSON.stringify(job)))).toEqual(job);
  });

  test('anything else is refused with a code', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => parseJob(value)).toThrow(code('QUEUE_INVALID'));
        expect(() => parseOutcome(step, value)).toThrow(code('QUEUE_INVALID'));
        expect(parseProgress(value)).toEqual([]);
      }),
    );
  });

  test('a job with any part replaced is read or refused, and nothing else', () => {
    const job = JSON.parse(JSON.stringify(toJob(step, new Map(), {}))) as Record<
      string,
      Record<string, unknown>
    >;
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(job.step ?? {})), fc.jsonValue(), (field, value) => {
        const changed = { ...job, step: { ...job.step, [field]: value } };
        try {
          expect(parseJob(changed)).toEqual(changed);
        } catch (error) {
          expect(error).toMatchObject({ code: 'QUEUE_INVALID' });
        }
      }),
    );
  });
});
