// Rebuilding beside the bound no scheduler can beat, beside a script of `docker build`, and on a queue beside one process.
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Builder, compareImages, dockerEngineBuilder, rebuild } from '../packages/core/src/index.ts';
import { openStepQueue, startStepWorker } from '../packages/core/src/rebuild/bullmq/index.ts';
import {
  digestOf,
  formatReference,
  RegistryClient,
  type ResolvedImage,
} from '../packages/registry/src/index.ts';
import { available, dockerHost, findProgram, startDockerRegistry, startRedis } from '../test/services.ts';
import { absent, type ClaimOutcome, judge, medians } from './claim.ts';
import { simulateCapacity } from './rebuild-capacity.ts';
import { fortyImages, emptyHost as host, planOf, platform } from './rebuild-plan.ts';
import { pushImage } from './registry-layers.ts';

type Claims = readonly { readonly line: string; readonly outcome: ClaimOutcome }[];

/** Runs the comparison; returns what came of each claim. */
export async function benchRebuild(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const outcomes: ClaimOutcome[] = [];
  for (const run of [scheduling, onEngine, onQueue, comparing]) {
    for (const { line, outcome } of await run()) {
      print(line);
      outcomes.push(outcome);
    }
  }
  await simulateCapacity(print);
  return outcomes;
}

const milliseconds = (value: number) => `${Math.round(value)}ms`;

/** Builds nothing, and takes a while over it: bases 200 ms, images 50 to 150. */
function pretending(times: (name: string) => number): Builder {
  return {
    name: 'pretending',
    probe: async () => ({ name: 'pretending', version: '1', platform }),
    build: async ({ target }) => {
      await delay(times(target.repository.split('/').at(-1) ?? ''));
      const digest = digestOf(formatReference(target));
      return {
        reference: { ...target, digest },
        descriptor: { mediaType: 'x', digest, size: 1 },
        diffIds: [],
        imageId: digest,
      };
    },
  };
}

/** The bound: what the longest chain takes, or all the work shared evenly by the slots. */
async function scheduling(): Promise<Claims> {
  const plan = planOf(
    'registry.example',
    fortyImages(() => 'COPY x /'),
  );
  const concurrency = 4;
  const times = (name: string) => (name.startsWith('base') ? 200 : 50 + ((Number(name.slice(5)) * 37) % 100));
  const ends = new Map<string, number>();
  for (const { id, inputs } of plan.steps)
    ends.set(id, times(id) + Math.max(0, ...inputs.map(({ step }) => ends.get(step ?? '') ?? 0)));
  const work = plan.steps.reduce((sum, { id }) => sum + times(id), 0);
  const bound = Math.max(...ends.values(), work / concurrency);
  const [ours] = await medians(
    [() => rebuild(plan, { builder: pretending(times), host, concurrency })] as const,
    3,
  );
  return [
    judge({
      ...{ name: 'rebuild.makespan-vs-bound', ours: milliseconds(ours), peer: milliseconds(bound) },
      ...{ ratio: bound / ours, goal: 1 / 1.15 },
    }),
  ];
}

/** The same 40 images by hand: the bases, then what stands on them, each built and pushed, two at a time. */
async function onEngine(): Promise<Claims> {
  const names = ['rebuild.forty-images-vs-docker-build-script', 'rebuild.unchanged-vs-two-seconds'] as const;
  if (!available('docker-engine', 'docker', 'docker-registry', 'xargs'))
    return [absent(names[0], 1 / 1.1), absent(names[1], 1)];
  const docker = (...args: readonly string[]) =>
    promisify(execFile)('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
  const registry = await startDockerRegistry();
  await using client = new RegistryClient();
  const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
  try {
    const ground = await builder.build({
      ...{ dockerfile: 'FROM local/debian:bookworm-slim', context: [], platform },
      target: { registry: registry.host, repository: 'public/debian', tag: '1' },
    });
    const { digest } = ground.reference;
    if (digest === undefined) throw new Error('the pushed image has no digest');
    const pinned = `${registry.host}/public/debian@${digest}`;
    await docker('pull', '--quiet', pinned);
    const images = fortyImages((name) => `RUN echo ${name} > /${name} && sleep 0.2`);
    const plan = planOf(registry.host, images, { reference: `${registry.host}/public/debian:1`, digest });
    const build = (reuse: boolean) => rebuild(plan, { builder, host, concurrency: 2, reuse });
    const byHand = async (round: number) => {
      const tag = (name: string) => `${registry.host}/hand${round}/${name}:1`;
      for (const level of [images.slice(0, 8), images.slice(8)]) {
        const lines = level.map(({ name, base, instructions }) => {
          const from = base === undefined ? pinned : tag(base);
          const dockerfile = `FROM ${from}\\n${instructions.replaceAll('>', '\\076').replaceAll('&', '\\046')}\\n`;
          return `printf '${dockerfile}' | docker build --quiet --no-cache --network host -t ${tag(name)} - && docker push --quiet ${tag(name)}`;
        });
        const script = lines
          .map((line) => `${line.replaceAll("'", "'\\''")}`)
          .map((line) => `'${line}'`)
          .join(' ');
        await promisify(execFile)(
          'sh',
          ['-c', `printf '%s\\0' ${script} | xargs -0 -P 2 -I{} sh -c '{}' >/dev/null`],
          { env: { ...process.env, DOCKER_HOST: dockerHost, DOCKER_BUILDKIT: '0' } },
        );
      }
    };
    const [ours, script] = await medians([() => build(false), byHand] as const, 1);
    await build(true);
    const start = performance.now();
    const again = await build(true);
    const unchanged = performance.now() - start;
    const built = again.outcomes.filter((outcome) => outcome.status !== 'built' || outcome.reused !== true);
    if (built.length > 0) throw new Error('a second run built something');
    return [
      judge({
        ...{ name: names[0], ours: milliseconds(ours), peer: milliseconds(script) },
        ...{ ratio: script / ours, goal: 1 / 1.1 },
      }),
      judge({
        ...{ name: names[1], ours: milliseconds(unchanged), peer: '2000ms' },
        ...{ ratio: 2000 / unchanged, goal: 1 },
      }),
    ];
  } finally {
    await builder.release?.();
    const { stdout } = await docker('images', '--format', '{{.Repository}}:{{.Tag}}');
    const own = stdout
      .split('\n')
      .filter((name) => name.startsWith(`${registry.host}/`) && !name.endsWith(':<none>'));
    if (own.length > 0) await docker('rmi', '--force', ...own);
    await registry.close();
  }
}

/** What a step costs more on a queue than in one process, when building takes no time at all. */
async function onQueue(): Promise<Claims> {
  const name = 'rebuild.queue-overhead-per-step-vs-20ms';
  if (findProgram('redis-server') === undefined) return [absent(name, 1)];
  const redis = await startRedis();
  const builder = pretending(() => 0);
  const plan = planOf(
    'registry.example',
    fortyImages(() => 'COPY x /'),
  );
  const connection = { connection: redis.url };
  const worker = await startStepWorker({ ...connection, builder, host });
  const runner = await openStepQueue(connection);
  try {
    const [queued, local] = await medians(
      [
        () => rebuild(plan, { runner, reuse: false }),
        () => rebuild(plan, { builder, host, concurrency: 1, reuse: false }),
      ] as const,
      3,
    );
    const each = (queued - local) / plan.steps.length;
    return [judge({ name, ours: `${each.toFixed(1)}ms`, peer: '20ms', ratio: 20 / each, goal: 1 })];
  } finally {
    await runner.close();
    await worker.close();
    await redis.close();
  }
}

/** Two images of 600 MB are read, hashed file by file and compared; the peer only pulls them. */
async function comparing(): Promise<Claims> {
  const name = 'rebuild.compare-vs-docker-pull';
  if (!available('docker-engine', 'docker', 'docker-registry')) return [absent(name, 1)];
  const registry = await startDockerRegistry();
  await using client = new RegistryClient();
  const docker = (...args: readonly string[]) =>
    promisify(execFile)('docker', args, { env: { ...process.env, DOCKER_HOST: dockerHost } });
  try {
    const images = [];
    for (const seed of [1, 101])
      images.push(await pushImage(client, registry.host, { seed, layerBytes: 150 * 2 ** 20 }));
    const [original, rebuilt] = images as [ResolvedImage, ResolvedImage];
    const names = images.map(({ reference }) => formatReference(reference));
    const [ours, pulling] = await medians(
      [
        () => compareImages(original, rebuilt, { originalSource: client, rebuiltSource: client }),
        async () => {
          for (const name of names) await docker('pull', '--quiet', name);
          await docker('rmi', '--force', ...names);
        },
      ] as const,
      1,
    );
    return [
      judge({
        ...{ name, ours: milliseconds(ours), peer: milliseconds(pulling) },
        ...{ ratio: pulling / ours, goal: 1 },
      }),
    ];
  } finally {
    await registry.close();
  }
}
