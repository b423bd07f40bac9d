// What docker-library itself says, beside what we make of the same files: over clones of its repositories, in IMAGEVET_CATALOG.
//
//   node scripts/run.mjs truth build-sources [commit of docker-library/meta]
//   node scripts/run.mjs truth descriptions [commit of docker-library/docs] [commit of docker-library/official-images]
//   node scripts/run.mjs truth bashbrew [commit of docker-library/official-images]    (wants the program bashbrew)
import { compareBashbrew } from './bashbrew.ts';
import { compareBuildSources } from './build-sources.ts';
import { compareDescriptions } from './descriptions.ts';
import { findMirrors, type Mirrors } from './mirrors.ts';

/** What came of one comparison. */
export interface Comparison {
  readonly title: string;
  readonly compared: number;
  readonly equal: number;
  /** One line for each that is not equal. */
  readonly differences: readonly string[];
  /** One line for each that could not be compared. */
  readonly unread: readonly string[];
}

const SUITES: Readonly<
  Record<string, (mirrors: Mirrors, ...parameters: string[]) => Promise<readonly Comparison[]>>
> = {
  'build-sources': compareBuildSources,
  descriptions: compareDescriptions,
  bashbrew: compareBashbrew,
};

const [name = '', ...parameters] = process.argv.slice(2);
const suite = SUITES[name];
const directory = process.env.IMAGEVET_CATALOG;
if (suite === undefined || directory === undefined) {
  console.error(
    `usage: IMAGEVET_CATALOG=<clones> npm run truth -- <${Object.keys(SUITES).join('|')}> [commit]`,
  );
  process.exitCode = 2;
} else {
  for (const { title, compared, equal, differences, unread } of await suite(
    findMirrors(directory),
    ...parameters,
  )) {
    console.log(
      `${title}: ${equal} of ${compared} equal, ${differences.length} differ, ${unread.length} not compared`,
    );
    for (const line of differences) console.log(`  differs: ${line}`);
    for (const line of unread) console.log(`  not compared: ${line}`);
    if (differences.length > 0) process.exitCode = 1;
  }
}
