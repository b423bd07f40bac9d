// Copying an image whose blobs are all there already: what a copy costs that moves no layer.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  copyImage,
  digestHex,
  type OciLayout,
  openOciLayout,
  parseReference,
  RegistryClient,
  type ResolvedImage,
} from '../packages/registry/src/index.ts';
import { findProgram, startDockerRegistry } from '../test/services.ts';
import { absent, type ClaimOutcome, judge } from './claim.ts';
import { pushImage } from './registry-layers.ts';

const ROUNDS = 9;
const GOAL_MS = 25;
const NAMES = ['registry.warm-to-registry-vs-25ms', 'registry.warm-to-layout-vs-25ms'] as const;

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
    const image = await pushImage(client, from.host);
    const layout = await openOciLayout(directory, { create: true });
    return [
      claim(NAMES[0], await warmToRegistry(client, image, to.host)),
      claim(NAMES[1], await warmToLayout(client, image, layout)),
    ];
  } finally {
    await Promise.all([from.close(), to.close()]);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The manifest is taken away before each round, so that every blob is asked for. */
function warmToRegistry(client: RegistryClient, { reference, manifest }: ResolvedImage, host: string) {
  const target = parseReference(`${host}/bench/warm:1`);
  const { registry, repository } = target;
  return medianOf(
    () => copyImage(reference, target, { source: client, destination: client }),
    () => client.deleteManifest({ registry, repository, digest: manifest.digest }),
  );
}

function warmToLayout(client: RegistryClient, { reference, manifest }: ResolvedImage, layout: OciLayout) {
  return medianOf(
    () => copyImage(reference, reference, { source: client, destination: layout }),
    () => rmSync(join(layout.directory, 'blobs', 'sha256', digestHex(manifest.digest))),
  );
}

/** The median time of `run` in milliseconds, after one that is not counted and brings the blobs there. */
async function medianOf(run: () => Promise<unknown>, between: () => unknown): Promise<number> {
  const times: number[] = [];
  await run();
  for (let round = 0; round < ROUNDS; round += 1) {
    await between();
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.toSorted((a, b) => a - b)[ROUNDS >> 1]!;
}

function claim(name: string, ms: number) {
  return judge({ name, ours: `${ms.toFixed(1)}ms`, peer: `${GOAL_MS}ms`, ratio: GOAL_MS / ms, goal: 1 });
}
