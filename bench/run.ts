// `npm run bench -- [suite ...]`: one line per claim of speed or economy, each beside a peer in the same run.
// Exit status: 0 no claim is short, 1 a claim is short, 2 usage. An absent peer is neither.
import { availableParallelism } from 'node:os';
import type { ClaimOutcome } from './claim.ts';
import { benchLineage } from './lineage.ts';
import { benchLineageCatalog } from './lineage-catalog.ts';
import { benchFamily } from './lineage-latency.ts';
import { benchRebuild } from './rebuild.ts';
import { benchRegistryCopy } from './registry-copy.ts';
import { benchRegistryLayers } from './registry-layers.ts';
import { benchWarmCopy } from './registry-warm.ts';
import { benchTrust } from './trust.ts';

type Bench = (print: (line: string) => void) => Promise<readonly ClaimOutcome[]>;

const suites: Readonly<Record<string, readonly Bench[]>> = {
  registry: [benchRegistryLayers, benchRegistryCopy, benchWarmCopy],
  lineage: [benchLineageCatalog, benchLineage],
  family: [benchFamily],
  rebuild: [benchRebuild],
  trust: [benchTrust],
};

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined) {
    console.error(`no suite ${unknown}\nusage: npm run bench -- [${Object.keys(suites).join('|')}]`);
    return 2;
  }
  console.log(`${availableParallelism()} processors, loopback`);
  const outcomes: ClaimOutcome[] = [];
  for (const name of args.length > 0 ? args : Object.keys(suites)) {
    for (const bench of suites[name]!) outcomes.push(...(await bench((line) => console.log(line))));
  }
  return outcomes.includes('short') ? 1 : 0;
}
