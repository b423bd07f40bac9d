// Copying an image beside skopeo: from a registry into an OCI layout, and from a registry into another one.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  copyImage,
  formatReference,
  openOciLayout,
  parseReference,
  RegistryClient,
} from '../packages/registry/src/index.ts';
import { findProgram, startDockerRegistry } from '../test/services.ts';
import { absent, type ClaimOutcome, judge, medians } from './claim.ts';
import { pushImage } from './registry-layers.ts';

const ROUNDS = 5;
const GOAL = 1;
const NAMES = ['registry.to-layout-vs-skopeo', 'registry.to-registry-vs-skopeo'] as const;

/** Runs the comparison; returns what came of each claim. */
export async function benchRegistryCopy(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  if (findProgram('skopeo') === undefined || findProgram('docker-registry') === undefined) {
    return NAMES.map((name) => {
      const { line, outcome } = absent(name, GOAL);
      print(line);
      return outcome;
    });
  }
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  const [from, to] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  await using client = new RegistryClient();
  try {
    const { reference } = await pushImage(client, from.host);
    // Every round copies to a new place, so that nothing is there already.
    const layout = (who: string, round: number) => join(directory, `${who}-${round}`);
    const target = (who: string, round: number) => parseReference(`${to.host}/bench/${who}-${round}:1`);
    const [oursToLayout, skopeoToLayout] = await medians(
      [
        async (round) => {
          const destination = await openOciLayout(layout('ours', round), { create: true });
          await copyImage(reference, reference, { source: client, destination });
        },
        (round) => skopeo(`docker://${formatReference(reference)}`, `oci:${layout('skopeo', round)}:1`),
      ] as const,
      ROUNDS,
    );
    const [oursToRegistry, skopeoToRegistry] = await medians(
      [
        (round) => copyImage(reference, target('ours', round), { source: client, destination: client }),
        (round) =>
          skopeo(
            `docker://${formatReference(reference)}`,
            `docker://${formatReference(target('skopeo', round))}`,
          ),
      ] as const,
      ROUNDS,
    );
    const pairs = [
      [oursToLayout, skopeoToLayout],
      [oursToRegistry, skopeoToRegistry],
    ] as const;
    return pairs.map(([ours, peer], index) => {
      const { line, outcome } = judge({
        ...{ name: NAMES[index]!, ours: milliseconds(ours), peer: milliseconds(peer) },
        ...{ ratio: peer / ours, goal: GOAL },
      });
      print(line);
      return outcome;
    });
  } finally {
    await Promise.all([from.close(), to.close()]);
    rmSync(directory, { recursive: true, force: true });
  }
}

const milliseconds = (value: number) => `${Math.round(value)}ms`;

async function skopeo(from: string, to: string): Promise<void> {
  await promisify(execFile)('skopeo', [
    ...['copy', '--quiet', '--src-tls-verify=false', '--dest-tls-verify=false'],
    ...[from, to],
  ]);
}
