// Copying an image whose blobs are all there already: what a copy costs that moves no layer.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  copyImage,
  digestHex,
  formatReference,
  type ImageReference,
  openOciLayout,
  parseReference,
  RegistryClient,
} from '../packages/registry/src/index.ts';
import { findProgram, startDockerRegistry } from '../test/services.ts';
import { absent, type ClaimOutcome, judge } from './claim.ts';
import { pushImage } from './registry-layers.ts';

const ROUNDS = 9;
const GOAL_MS = 25;
const NAMES = [
  'registry.warm-to-registry-work-vs-25ms',
  'registry.warm-to-layout-work-vs-25ms',
  'registry.warm-to-registry-vs-skopeo',
] as const;

/** Measures warm copies; returns what came of each claim. */
export async function benchWarmCopy(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const claims =
    findProgram('docker-registry') === undefined ? NAMES.map((name) => absent(name, 1)) : await measure();
  for (const { line } of claims) print(line);
  return claims.map(({ outcome }) => outcome);
}

async function measure() {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  const [from, to] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  await using client = new RegistryClient();
  try {
    const { reference, manifest } = await pushImage(client, from.host);
    const layout = await openOciLayout(directory, { create: true });
    // The manifest is taken away before each round, so that every blob is asked for.
    const takeAway = ({ registry, repository }: ImageReference) =>
      client.deleteManifest({ registry, repository, digest: manifest.digest });
    const target = (who: string) => parseReference(`${to.host}/bench/${who}:1`);
    const toRegistry = await measured(
      () => copyImage(reference, target('ours'), { source: client, destination: client }),
      () => takeAway(target('ours')),
    );
    const toLayout = await measured(
      () => copyImage(reference, reference, { source: client, destination: layout }),
      () => rmSync(join(directory, 'blobs', 'sha256', digestHex(manifest.digest))),
    );
    const skopeo = await bySkopeo(reference, target('skopeo'), () => takeAway(target('skopeo')));
    return [
      workClaim(NAMES[0], toRegistry.cpuMs),
      workClaim(NAMES[1], toLayout.cpuMs),
      skopeo === undefined ? absent(NAMES[2], 1) : timeClaim(NAMES[2], toRegistry.ms, skopeo.ms),
    ];
  } finally {
    await Promise.all([from.close(), to.close()]);
    rmSync(directory, { recursive: true, force: true });
  }
}

function bySkopeo(from: ImageReference, to: ImageReference, between: () => unknown) {
  if (findProgram('skopeo') === undefined) return undefined;
  const [source, target] = [from, to].map((reference) => `docker://${formatReference(reference)}`);
  const told = ['copy', '--quiet', '--src-tls-verify=false', '--dest-tls-verify=false', source!, target!];
  return measured(() => promisify(execFile)('skopeo', told), between);
}

/** Medians of the time that `run` takes, and of the processor time in this process, after a first that brings the blobs. */
async function measured(run: () => Promise<unknown>, between: () => unknown) {
  const [times, work]: [number[], number[]] = [[], []];
  await run();
  for (let round = 0; round < ROUNDS; round += 1) {
    await between();
    const [start, before] = [performance.now(), process.cpuUsage()];
    await run();
    const { user, system } = process.cpuUsage(before);
    times.push(performance.now() - start);
    work.push((user + system) / 1000);
  }
  const middle = (values: readonly number[]) => values.toSorted((a, b) => a - b)[ROUNDS >> 1]!;
  return { ms: middle(times), cpuMs: middle(work) };
}

function workClaim(name: string, ms: number) {
  return judge({ name, ours: milliseconds(ms), peer: `${GOAL_MS}ms`, ratio: GOAL_MS / ms, goal: 1 });
}

function timeClaim(name: string, ours: number, peer: number) {
  return judge({ name, ours: milliseconds(ours), peer: milliseconds(peer), ratio: peer / ours, goal: 1 });
}

const milliseconds = (value: number) => `${value.toFixed(1)}ms`;
