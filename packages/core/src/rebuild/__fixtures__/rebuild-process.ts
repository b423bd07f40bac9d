// A rebuild as a process of its own, so that a test can kill it. Told by a JSON argument what to build and where.
import { RegistryClient } from '@imagevet/registry';
import { gitMirrorHost } from '../../provenance/hosts/git/git-mirror.ts';
import { dockerEngineBuilder } from '../engine/docker-engine-builder.ts';
import { rebuild } from '../rebuild.ts';
import type { RebuildPlan } from '../types.ts';

/** What a test tells the process. */
export interface RebuildTask {
  readonly plan: RebuildPlan;
  readonly dockerHost: string;
  readonly directory: string;
  readonly remotes: Readonly<Record<string, string>>;
}

const { plan, dockerHost, directory, remotes } = JSON.parse(process.argv[2] ?? '{}') as RebuildTask;
const { outcomes } = await rebuild(plan, {
  builder: dockerEngineBuilder({ dockerHost, registry: new RegistryClient(), network: 'host' }),
  host: gitMirrorHost({ directory, remotes, hosts: [] }),
  concurrency: 1,
  onProgress: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
});
process.stdout.write(`${JSON.stringify({ type: 'outcomes', outcomes })}\n`);
process.exit(0);
