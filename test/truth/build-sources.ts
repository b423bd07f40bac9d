import { type CatalogBuild, resolveCatalog } from '../../packages/core/src/index.ts';
import { git, type Mirrors, mirrorOf } from './mirrors.ts';
import type { Comparison } from './run.ts';

/** A source of Docker's own build: an entry of a library file, and what its Dockerfile names on each architecture. */
interface Source {
  readonly sourceId: string;
  readonly entry: Readonly<Record<'GitRepo' | 'GitFetch' | 'GitCommit' | 'Directory' | 'File', string>>;
  readonly arches: Readonly<Record<string, SourceArchitecture>>;
}

interface SourceArchitecture {
  readonly tags: readonly string[];
  readonly froms: readonly string[];
  /** By name: the source it is built from, or the digest it is pinned to; neither when that build had no such image. */
  readonly parents: Readonly<
    Record<string, { readonly sourceId: string | null; readonly pin: string | null }>
  >;
}

/** The newest of 2023-11-07: its `sources.json` is blob 47a00550a7054356ce67935b7a353b5b8741bbb7. */
const NEWEST_OF_THE_DAY = '9a2f07851965594d067d6250bbc5c00d2f22cc16';

/**
 * Resolves the library files that Docker's own build read, and compares with what that build made of them: `sources.json` of
 * docker-library/meta at a commit, beside official-images at the commit of its submodule `.doi`.
 */
export async function compareBuildSources(
  mirrors: Mirrors,
  commit = NEWEST_OF_THE_DAY,
): Promise<readonly Comparison[]> {
  const meta = mirrorOf(mirrors, 'docker-library/meta');
  const official = mirrorOf(mirrors, 'docker-library/official-images');
  const sources = JSON.parse(git(meta, 'show', `${commit}:sources.json`)) as Readonly<Record<string, Source>>;
  const library = git(meta, 'ls-tree', '--object-only', commit, '.doi');
  const builds = new Map<string, CatalogBuild>();
  const byTag = new Map<string, CatalogBuild[]>();
  const images = resolveCatalog(
    { mirror: official, commit: library },
    { mirrors: { directory: mirrors.directory, remotes: mirrors.remotes, offline: true } },
  );
  for await (const { name, entries } of images) {
    for (const entry of entries) {
      for (const build of entry.builds) {
        builds.set(build.id, build);
        for (const tag of [...entry.tags, ...entry.sharedTags]) {
          const key = `${name}:${tag} ${build.architecture}`;
          byTag.set(key, [...(byTag.get(key) ?? []), build]);
        }
      }
    }
  }
  const title = (what: string) => `${what}, meta ${commit.slice(0, 12)}, library ${library.slice(0, 12)}`;
  return [
    { title: title('source of each tag on each architecture'), ...compareTags(sources, byTag) },
    ...compareNames(sources, byTag, builds).map((found) => ({ ...found, title: title(found.title) })),
  ];
}

type Outcome = Omit<Comparison, 'title'>;

function compareTags(
  sources: Readonly<Record<string, Source>>,
  byTag: ReadonlyMap<string, readonly CatalogBuild[]>,
): Outcome {
  const expected = sourcesByTag(sources);
  const images = new Set([...expected.keys()].map((key) => key.split(':', 1)[0]!));
  const differences: string[] = [];
  for (const [key, theirs] of expected) {
    const ours = [...new Set((byTag.get(key) ?? []).map(nameBuild))];
    if (theirs.sort().join() !== ours.sort().join())
      differences.push(`${key}: ${ours.join(', ') || 'nothing'} instead of ${theirs.join(', ')}`);
  }
  const more = [...byTag.keys()].filter((key) => images.has(key.split(':', 1)[0]!) && !expected.has(key));
  return {
    compared: expected.size,
    equal: expected.size - differences.length,
    differences: [...differences, ...more.map((key) => `${key}: only we have it`)],
    unread: [],
  };
}

/** What each source names on each architecture; then what each name stands for. */
function compareNames(
  sources: Readonly<Record<string, Source>>,
  byTag: ReadonlyMap<string, readonly CatalogBuild[]>,
  builds: ReadonlyMap<string, CatalogBuild>,
): readonly Comparison[] {
  const names = { compared: 0, equal: 0, differences: [] as string[], unread: [] as string[] };
  const parents = { compared: 0, equal: 0, differences: [] as string[], unread: [] as string[] };
  const known = sourcesByTag(sources);
  for (const source of Object.values(sources)) {
    for (const [architecture, { tags, froms, parents: expected }] of Object.entries(source.arches)) {
      const at = `${tags[0]} ${architecture}`;
      const build = byTag.get(at)?.find((one) => nameBuild(one) === nameSource(source));
      names.compared += 1;
      if (build === undefined || build.inputs.length === 0) {
        const why = build?.findings.map(({ code }) => code).join() ?? 'no build';
        names.unread.push(`${at}: ${why}: ${froms.join(', ')}`);
        continue;
      }
      const inputs = build.inputs.filter(({ kind }) => kind !== 'frontend');
      const ours = listNames(inputs.map(({ text }) => text));
      if (ours === listNames(froms)) names.equal += 1;
      else names.differences.push(`${at}: ${ours} instead of ${listNames(froms)}`);
      for (const [name, { sourceId, pin }] of Object.entries(expected)) {
        const target = inputs.find(({ text }) => withTag(text) === withTag(name))?.target;
        const parent = target?.kind === 'build' ? builds.get(target.id) : undefined;
        parents.compared += 1;
        const fitting =
          sourceId === null
            ? known.get(`${withTag(name)} ${architecture}`)
            : [nameSource(sources[sourceId]!)];
        if (pin === null && fitting === undefined)
          parents.unread.push(`${at}: ${name} is not of that build; here it is ${JSON.stringify(target)}`);
        else if (
          pin === null
            ? parent?.architecture === architecture && fitting?.includes(nameBuild(parent))
            : target?.kind === 'external' && pin.endsWith(target.digest ?? '?')
        ) {
          parents.equal += 1;
        } else parents.differences.push(`${at}: ${name} is ${JSON.stringify(target)}`);
      }
    }
  }
  return [
    { title: 'names each source takes from on each architecture', ...names },
    { title: 'what each of those names stands for', ...parents },
  ];
}

/** What stands behind each tag on each architecture. */
function sourcesByTag(sources: Readonly<Record<string, Source>>): ReadonlyMap<string, string[]> {
  const found = new Map<string, string[]>();
  for (const source of Object.values(sources)) {
    for (const [architecture, { tags }] of Object.entries(source.arches)) {
      for (const tag of tags) {
        const key = `${tag} ${architecture}`;
        found.set(key, [...(found.get(key) ?? []), nameSource(source)]);
      }
    }
  }
  return found;
}

function nameSource({ entry }: Source): string {
  const { GitRepo, GitFetch, GitCommit, Directory, File } = entry;
  const repository = GitRepo.replace(/^git:/, 'https:').replace(/\.git$/, '');
  return [repository, GitFetch, GitCommit, Directory, File].join(' ');
}

function nameBuild({ source }: CatalogBuild): string {
  if (source === undefined) return 'unnamed';
  const { repository, ref, commit, directory, path } = source;
  const file = directory === '.' ? path : path.slice(directory!.length + 1);
  return [repository, ref, commit, directory, file].join(' ');
}

function listNames(names: readonly string[]): string {
  return [...new Set(names.map(withTag))].sort().join(', ');
}

function withTag(name: string): string {
  return name === 'scratch' || /[:@][^/]*$/.test(name) ? name : `${name}:latest`;
}
