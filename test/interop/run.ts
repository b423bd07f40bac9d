// `npm run interop -- [suite ...]`: the matrix of imagevet and other programs, against their real binaries.
// Exit status: 0 every pair passes, 1 a pair fails (or is absent under IMAGEVET_REQUIRE_SERVICES=1), 2 usage.
import type { Matrix } from './matrix.ts';
import { notary } from './notary.ts';
import { rebuild } from './rebuild.ts';
import { registry } from './registry.ts';

const suites: Readonly<Record<string, () => Promise<readonly Matrix[]>>> = { registry, notary, rebuild };

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined) {
    console.error(`no suite ${unknown}\nusage: npm run interop -- [${Object.keys(suites).join('|')}]`);
    return 2;
  }
  const names = args.length > 0 ? args : Object.keys(suites);
  const counts = { passed: 0, failed: 0, absent: 0 };
  for (const name of names) counts[await result(name)] += 1;
  const { passed, failed, absent } = counts;
  console.log(`${passed} passed, ${failed} failed${absent > 0 ? `, ${absent} absent` : ''}`);
  return failed === 0 ? 0 : 1;
}

/** Runs a suite and prints its tables. A suite that met nobody is absent. */
async function result(name: string): Promise<'passed' | 'failed' | 'absent'> {
  try {
    const matrices = await suites[name]!();
    for (const matrix of matrices) console.log(`${matrix.render()}\n`);
    const outcomes = new Set(matrices.flatMap((matrix) => matrix.outcomes));
    const required = process.env.IMAGEVET_REQUIRE_SERVICES === '1';
    if (outcomes.has('FAIL') || (required && outcomes.has('absent'))) return 'failed';
    return outcomes.has('pass') ? 'passed' : 'absent';
  } catch (error) {
    console.log(`FAIL: ${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    return 'failed';
  }
}
