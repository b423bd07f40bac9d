// What a run leaves that is killed, and what the next one makes of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOf, RegistryClient } from '@imagevet/registry';
import { createRepository, startRegistry, type TestRegistry } from '@imagevet/registry/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, dockerHost } from '../../../../test/services.ts';
import type { RebuildTask } from './__fixtures__/rebuild-process.ts';
import { dockerEngineBuilder } from './engine/docker-engine-builder.ts';
import { planId } from './plan/plan-id.ts';
import type { RebuildEvent, RebuildOutcome, RebuildPlan, RebuildStep } from './types.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const REPOSITORY = 'https://git.example/org/chain';
const NAMES = ['one', 'two', 'three'] as const;

type Line = RebuildEvent | { readonly type: 'outcomes'; readonly outcomes: readonly RebuildOutcome[] };

describe.skipIf(!available('docker-engine', 'git'))('rebuild() killed with -9', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-killed-'));
  const client = new RegistryClient();
  let registry: TestRegistry;
  let task: Omit<RebuildTask, 'plan' | 'directory'>;
  let planOf: (prefix: string) => RebuildPlan;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    registry = await startRegistry();
    const builder = dockerEngineBuilder({ dockerHost, registry: client, network: 'host' });
    const ground = await builder.build({
      ...{ dockerfile: 'FROM local/debian:bookworm-slim', context: [], platform },
      target: { registry: registry.host, repository: 'public/debian', tag: '1' },
    });
    await builder.release?.();
    const files = Object.fromEntries(NAMES.map((name) => [`${name}/x`, name]));
    const { path: remote, commits } = await createRepository(mkdtempSync(join(directory, 'git-')), [
      { files, message: 'Add', date: '2026-01-02T03:04:05Z' },
    ]);
    task = { dockerHost: dockerHost ?? '', remotes: { [REPOSITORY]: remote } };
    const named = (name: string) => ({ registry: registry.host, repository: `public/${name}`, tag: '1' });
    planOf = (prefix) => {
      const steps = NAMES.map((name, index) => {
        const below = NAMES[index - 1];
        const reference = `${registry.host}/public/${below ?? 'debian'}:1`;
        return {
          ...{ id: name, key: digestOf(`${prefix}${name}`).slice(7), reference: named(name), platform },
          location: {
            ...{ repository: REPOSITORY, commit: commits[0] ?? '' },
            ...{ directory: name, path: `${name}/Dockerfile` },
          },
          dockerfile: `FROM ${reference}\nCOPY x /${name}\nRUN echo begun && sleep 1`,
          inputs: [
            below === undefined
              ? { kind: 'base', reference, pinned: ground.reference.digest! }
              : { kind: 'base', reference, step: below },
          ],
          target: { registry: registry.host, repository: `${prefix}/${name}`, tag: '1' },
          scratch: { registry: registry.host, repository: `${prefix}-scratch/${name}` },
        };
      }) as RebuildStep[];
      return { id: planId({ platform, steps }), platform, steps, gaps: [] };
    };
  }, 120_000);
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await client.close();
    await registry.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Runs a plan in a process; kills it when a line of its account is the one that was waited for. */
  const run = (plan: RebuildPlan, killAt?: (line: Line) => boolean) =>
    new Promise<readonly Line[]>((resolve, reject) => {
      const own = mkdtempSync(join(directory, 'mirror-'));
      const script = fileURLToPath(new URL('__fixtures__/rebuild-process.ts', import.meta.url));
      const told: RebuildTask = { ...task, plan, directory: own };
      const child = spawn(process.execPath, ['--conditions=@imagevet/source', script, JSON.stringify(told)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      let text = '';
      const lines = () =>
        text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Line);
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
        if (killAt !== undefined && lines().some(killAt)) child.kill('SIGKILL');
      });
      child.once('error', reject);
      child.once('exit', () => resolve(lines()));
    });
  const namings = (plan: RebuildPlan) =>
    plan.steps.map(
      ({ scratch }) =>
        registry.requests.filter((line) =>
          new RegExp(`^PUT /v2/${scratch.repository}/manifests/build-[0-9a-f]{40}(?!-raw)`).test(line),
        ).length,
    );

  test.each<[when: string, at: (line: Line) => boolean, reused: readonly (true | undefined)[]]>([
    [
      'in the middle of a build',
      (line) => line.type === 'step-log' && line.step === 'two' && line.text.endsWith('begun'),
      [true, undefined, undefined],
    ],
    [
      'right after an image got its name',
      (line) => line.type === 'step-finished' && line.step === 'two',
      [true, true, undefined],
    ],
  ])(
    '%s: the next run builds what is missing, and names nothing twice',
    async (when, at, reused) => {
      const plan = planOf(when.includes('middle') ? 'middle' : 'after');
      const before = await run(plan, at);
      expect(before.some(({ type }) => type === 'outcomes')).toBe(false);
      const last = (await run(plan)).at(-1);
      if (last?.type !== 'outcomes') throw new Error('the second run did not end');
      expect(
        last.outcomes.map((outcome) => [outcome.status, 'reused' in outcome ? outcome.reused : undefined]),
      ).toEqual(reused.map((was) => ['built', was]));
      expect(namings(plan)).toEqual([1, 1, 1]);
    },
    120_000,
  );
});
