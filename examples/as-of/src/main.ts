// Which Dockerfiles was an official image built from on a given day?
//
//   node --conditions=@imagevet/source src/main.ts wordpress:4.9 2018-01-04 \
//     docker-library/official-images=/mirrors/official-images.git \
//     docker-library/docs=/mirrors/docs.git \
//     docker-library/wordpress=/mirrors/wordpress.git ...
//
// The bare repositories stand in for GitHub: they are served on loopback, with their real history. The answer is found
// twice, from the library files Docker's build read and from the descriptions Docker Hub showed, and compared.
import {
  dockerHubSource,
  gitHubHost,
  type Lineage,
  officialImagesSource,
  type ProvenanceSource,
  resolveLineage,
  spine,
} from '@imagevet/core';
import { familiarReference, formatPlatform, parsePlatform } from '@imagevet/registry';
import { startGitHost } from '@imagevet/registry/testing';

const USAGE =
  'usage: main.ts <image> <date> [--platform=<os>/<architecture>] <owner>/<repository>=<path of a bare repository>...';

/** Resolves the image and prints its lineage. Returns the exit status: 1 when the two answers differ, 2 on wrong use. */
export async function main(args: readonly string[], print: (line: string) => void): Promise<number> {
  const options = args.filter((arg) => arg.startsWith('--'));
  const [image, date = '', ...mirrors] = args.filter((arg) => !arg.startsWith('--'));
  const asOf = new Date(date);
  const platform = parsePlatform(
    options.find((o) => o.startsWith('--platform='))?.slice(11) ?? 'linux/amd64',
  );
  if (
    image === undefined ||
    Number.isNaN(asOf.getTime()) ||
    mirrors.some((mirror) => !mirror.includes('='))
  ) {
    print(USAGE);
    return 2;
  }

  const github = await startGitHost({
    repositories: Object.fromEntries(mirrors.map((mirror) => mirror.split('=', 2))),
  });
  try {
    const { apiUrl, rawUrl, url: archiveUrl } = github;
    const host = gitHubHost({ apiUrl, rawUrl, archiveUrl });
    const resolve = (source: ProvenanceSource) =>
      resolveLineage(image, { sources: [source], host, platform, asOf });

    const library = await resolve(officialImagesSource({ host }));
    const described = await resolve(dockerHubSource({ host }));
    print(`${image} ${formatPlatform(platform)} as of ${asOf.toISOString()}`);
    print('\nby the library files:');
    printLineage(library, print);
    print('\nby the descriptions:');
    printLineage(described, print);

    if ([library, described].every(({ nodes }) => nodes[0]?.dockerfile.location === undefined)) {
      print('\nNeither names a Dockerfile: is the name right, and are the repositories there?');
      return 1;
    }
    const { same, guesses } = compare(library, described);
    for (const name of guesses)
      print(`\n${name}: the description links what amd64 is built from, a guess here.`);
    print(`\n${same ? 'Both agree.' : 'They differ.'} ${github.requests.length} requests.`);
    return same ? 0 : 1;
  } finally {
    await github.close();
  }
}

/** The images from the one asked about to the base, each with the commit and path of its Dockerfile. */
function steps(lineage: Lineage): readonly string[] {
  return spine(lineage).map(({ reference, dockerfile: { location } }) => {
    const source =
      location === undefined ? 'not named' : `${location.repository} ${location.commit} ${location.path}`;
    return `${familiarReference(reference)}  ${source}`;
  });
}

/** Descriptions link one commit for all platforms; where another is built from its own, theirs says nothing against it. */
function compare(
  library: Lineage,
  described: Lineage,
): { readonly same: boolean; readonly guesses: readonly string[] } {
  const nodes = spine(described);
  const [built, linked] = [steps(library), steps(described)];
  const differing = built.flatMap((step, at) => (step === linked[at] ? [] : [nodes[at]]));
  const guessed = differing.filter((node) => node?.claims.every((claim) => claim.heuristic) === true);
  return {
    same: built.length === linked.length && guessed.length === differing.length,
    guesses: guessed.flatMap((node) => (node === undefined ? [] : [familiarReference(node.reference)])),
  };
}

function printLineage(lineage: Lineage, print: (line: string) => void): void {
  const lines = steps(lineage);
  for (const [index, { id, dockerfile, end }] of spine(lineage).entries()) {
    print(`  ${lines[index]}`);
    const edge = lineage.edges.find(({ kind, from }) => kind === 'base' && from === id);
    const next = edge === undefined ? `ends here: ${end}` : `FROM ${edge.name} (${edge.grade})`;
    print(`      Dockerfile ${dockerfile.status}, commit ${dockerfile.reachability}; ${next}`);
  }
  for (const { code, message } of lineage.gaps) print(`  gap ${code}: ${message}`);
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
}
