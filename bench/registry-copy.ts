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

/** A program that copies images, and how it is told to. */
interface Copier {
  readonly program: string;
  /** Into an image layout of its own. */
  toLayout(from: string, directory: string): readonly string[];
  toRegistry(from: string, to: string): readonly string[];
}

const COPIERS: readonly Copier[] = [
  {
    program: 'skopeo',
    toLayout: (from, directory) => [...SKOPEO, `docker://${from}`, `oci:${directory}:1`],
    toRegistry: (from, to) => [...SKOPEO, `docker://${from}`, `docker://${to}`],
  },
  {
    program: 'crane',
    toLayout: (from, directory) => ['pull', '--insecure', '--format=oci', from, directory],
    toRegistry: (from, to) => ['copy', '--insecure', from, to],
  },
  {
    program: 'regctl',
    toLayout: (from, directory) => ['image', 'copy', ...plain(from), from, `ocidir://${directory}:1`],
    toRegistry: (from, to) => ['image', 'copy', ...plain(from), ...plain(to), from, to],
  },
];
const SKOPEO = ['copy', '--quiet', '--src-tls-verify=false', '--dest-tls-verify=false'];
const plain = (name: string) => ['--host', `reg=${name.split('/')[0]},tls=disabled`];

/** Runs the comparison; returns what came of each claim. */
export async function benchRegistryCopy(print: (line: string) => void): Promise<readonly ClaimOutcome[]> {
  const present = COPIERS.filter(({ program }) => findProgram(program) !== undefined);
  const outcomes: ClaimOutcome[] = [];
  const say = ({ line, outcome }: { readonly line: string; readonly outcome: ClaimOutcome }) => {
    print(line);
    outcomes.push(outcome);
  };
  if (findProgram('docker-registry') === undefined) present.length = 0;
  if (present.length > 0) for (const claim of await compare(present)) say(claim);
  for (const { program } of COPIERS.filter((copier) => !present.includes(copier)))
    for (const { name, goal } of claimsOf(program)) say(absent(name, goal));
  return outcomes;
}

const claimsOf = (program: string) =>
  [
    { name: `registry.to-layout-vs-${program}`, goal: program === 'skopeo' ? 1.5 : 1 },
    { name: `registry.to-registry-vs-${program}`, goal: 1 },
  ] as const;

async function compare(copiers: readonly Copier[]) {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-bench-'));
  const from = await startDockerRegistry();
  // Programs remember what they sent where and mount it from there: each copy gets a registry that has nothing.
  const contenders = copiers.length + 1;
  const targets = await Promise.all(
    Array.from({ length: contenders * (ROUNDS + 1) }, () => startDockerRegistry()),
  );
  await using client = new RegistryClient();
  try {
    const { reference } = await pushImage(client, from.host);
    const name = formatReference(reference);
    const layout = (who: string, round: number) => join(directory, `${who}-${round}`);
    const target = (who: number, round: number) => `${targets[contenders * round + who]!.host}/bench/copy:1`;
    const run = (program: string, parameters: readonly string[]) =>
      promisify(execFile)(program, [...parameters]);
    const [oursToLayout = 0, ...toLayout] = await medians(
      [
        async (round: number) => {
          const destination = await openOciLayout(layout('ours', round), { create: true });
          await copyImage(reference, reference, { source: client, destination });
        },
        ...copiers.map(
          ({ program, toLayout: told }) =>
            (round: number) =>
              run(program, told(name, layout(program, round))),
        ),
      ],
      ROUNDS,
    );
    const [oursToRegistry = 0, ...toRegistry] = await medians(
      [
        (round: number) =>
          copyImage(reference, parseReference(target(0, round)), { source: client, destination: client }),
        ...copiers.map(
          ({ program, toRegistry: told }, index) =>
            (round: number) =>
              run(program, told(name, target(index + 1, round))),
        ),
      ],
      ROUNDS,
    );
    return copiers.flatMap(({ program }, index) =>
      [
        [oursToLayout, toLayout[index]!],
        [oursToRegistry, toRegistry[index]!],
      ].map(([ours = 0, peer = 0], which) =>
        judge({
          ...{ ...claimsOf(program)[which]!, ours: milliseconds(ours), peer: milliseconds(peer) },
          ratio: peer / ours,
        }),
      ),
    );
  } finally {
    await Promise.all([from, ...targets].map((registry) => registry.close()));
    rmSync(directory, { recursive: true, force: true });
  }
}

const milliseconds = (value: number) => `${Math.round(value)}ms`;
