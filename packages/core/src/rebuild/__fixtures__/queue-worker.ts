// A worker as a process of its own, so that a test can kill it. Told by a JSON argument where everything is.
import { setTimeout as delay } from 'node:timers/promises';
import { RegistryClient } from '@imagevet/registry';
import { gitMirrorHost } from '../../provenance/hosts/git/git-mirror.ts';
import { startStepWorker } from '../bullmq/index.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';

/** What a test tells a worker. */
export interface QueueWorkerTask {
  readonly connection: string;
  readonly name: string;
  readonly lockMs: number;
  readonly dockerHost: string;
  readonly mirrors: string;
  readonly remotes: Readonly<Record<string, string>>;
  /** Time between a push and telling of it, in milliseconds. */
  readonly holdMs: number;
  /** How far its clock is ahead, in milliseconds. */
  readonly aheadMs: number;
}

const task = JSON.parse(process.argv[2] ?? '{}') as QueueWorkerTask;
const { connection, name, lockMs, dockerHost, mirrors, remotes, holdMs, aheadMs } = task;
const realNow = Date.now.bind(Date);
globalThis.Date = class extends Date {
  constructor(...given: readonly unknown[]) {
    // biome-ignore lint/suspicious/noExplicitAny: passed on as it came
    super(...((given.length === 0 ? [realNow() + aheadMs] : given) as [any]));
  }
  static override now(): number {
    return realNow() + aheadMs;
  }
} as DateConstructor;
const engine = dockerEngineBuilder({ dockerHost, registry: new RegistryClient(), network: 'host' });
const say = (event: string, target: { readonly repository: string }) =>
  process.stdout.write(`${event} ${target.repository.split('/').at(-1)}\n`);

await startStepWorker({
  connection,
  name,
  lockMs,
  host: gitMirrorHost({ directory: mirrors, remotes, hosts: [] }),
  builder: {
    ...engine,
    build: async (request, options) => {
      say('building', request.target);
      const image = await engine.build(request, options);
      say('pushed', request.target);
      await delay(holdMs);
      return image;
    },
  },
});
process.stdout.write('ready\n');
