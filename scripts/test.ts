// `npm test`: everything. Lint, types and builds count as one test each; then the suites.
// Ends with `N passed, N failed` on a line of its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const steps: readonly (readonly [string, readonly string[]])[] = [
  ['lint and format', ['exec', 'biome', 'check']],
  ['types', ['exec', 'tsc']],
  ['build', ['--recursive', 'run', 'build']],
  ['API reference', ['exec', 'typedoc']],
];

let passed = 0;
let failed = 0;
let skipped = 0;

for (const [name, parameters] of steps) {
  const result = spawnSync('pnpm', parameters, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (result.status === 0) {
    passed += 1;
    console.log(`ok: ${name}`);
  } else {
    failed += 1;
    console.log(`${result.stdout}${result.stderr}\nFAILED: ${name}`);
  }
}

const directory = mkdtempSync(join(tmpdir(), 'imagevet-test-'));
const output = join(directory, 'results.json');
const vitest = spawnSync(
  'pnpm',
  [
    ...['exec', 'vitest', 'run', ...process.argv.slice(2)],
    ...['--reporter=default', '--reporter=json', `--outputFile.json=${output}`],
  ],
  { stdio: 'inherit' },
);
try {
  const results = JSON.parse(readFileSync(output, 'utf8')) as Results;
  passed += results.numPassedTests;
  failed += results.numFailedTests;
  skipped += results.numPendingTests + results.numTodoTests;
  // A file that could not be loaded has no failed test, yet has failed.
  const failedFiles = results.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  );
  failed += failedFiles.length;
  for (const file of failedFiles) console.log(`FAILED: ${file.name}\n${file.message}`);
  if (results.numTotalTests === 0) failed += 1;
} catch (error) {
  failed += 1;
  console.log(`vitest gave no result: ${String(error)}`);
}
rmSync(directory, { recursive: true, force: true });
// Vitest also fails for an unhandled error outside any test.
if (vitest.status !== 0 && failed === 0) failed += 1;

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;

interface Results {
  readonly numTotalTests: number;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}
