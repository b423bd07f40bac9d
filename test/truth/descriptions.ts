import { parseDescriptionLinks, parseLibraryFile, toRepositoryUrl } from '../../packages/core/src/index.ts';
import { git, type Mirrors, mirrorOf } from './mirrors.ts';
import type { Comparison } from './run.ts';

/**
 * Compares the links of every official image's description, as docker-library/docs has it before Docker Hub's limit shortens it,
 * with the library file: for each tag, shared ones included, repository, commit and path. A description links one architecture's
 * source: that of amd64, or the first.
 *
 * @param commit - of docker-library/docs
 * @param library - commit of docker-library/official-images
 */
export async function compareDescriptions(
  mirrors: Mirrors,
  commit = 'HEAD',
  library = 'HEAD',
): Promise<readonly Comparison[]> {
  const docs = mirrorOf(mirrors, 'docker-library/docs');
  const official = mirrorOf(mirrors, 'docker-library/official-images');
  const [docsId, officialId] = [
    git(docs, 'rev-parse', '--verify', commit),
    git(official, 'rev-parse', '--verify', library),
  ];
  const described = new Set(git(docs, 'ls-tree', '--name-only', docsId).split('\n'));
  const names = git(official, 'ls-tree', '--name-only', `${officialId}:library`)
    .split('\n')
    .filter((name) => name !== 'MAINTAINERS');
  const comparison = {
    title: `links of ${names.length} descriptions, docs ${docsId.slice(0, 12)}, official-images ${officialId.slice(0, 12)}`,
    ...{ compared: 0, equal: 0, differences: [] as string[], unread: [] as string[] },
  };
  for (const name of names) {
    const { entries } = parseLibraryFile(git(official, 'show', `${officialId}:library/${name}`));
    if (!described.has(name)) {
      comparison.unread.push(`${name}: there is no description`);
      continue;
    }
    const { links } = parseDescriptionLinks(git(docs, 'show', `${docsId}:${name}/README.md`));
    const byTag = Map.groupBy(
      links.flatMap((link) => link.tags.map((tag) => ({ tag, link }))),
      ({ tag }) => tag,
    );
    const tags = new Set<string>();
    for (const entry of entries) {
      const build = entry.builds.find(({ architecture }) => architecture === 'amd64') ?? entry.builds[0]!;
      const { gitRepo, gitCommit, gitFetch, directory, file } = build;
      const path = directory === '.' ? file : `${directory}/${file}`;
      const expected = [
        toRepositoryUrl(gitRepo),
        gitCommit ?? gitFetch?.slice('refs/tags/'.length),
        path,
      ].join(' ');
      for (const tag of [...entry.tags, ...entry.sharedTags]) {
        tags.add(tag);
        comparison.compared += 1;
        const found = (byTag.get(tag) ?? []).map(({ link: { link } }) =>
          link === undefined ? 'no link' : [link.repository, link.ref, link.path].join(' '),
        );
        if (found.includes(expected)) comparison.equal += 1;
        else
          comparison.differences.push(
            `${name}:${tag}: ${found.join(', ') || 'not there'} instead of ${expected}`,
          );
      }
    }
    for (const tag of byTag.keys())
      if (!tags.has(tag)) comparison.differences.push(`${name}:${tag}: only the description has it`);
  }
  return [comparison];
}
