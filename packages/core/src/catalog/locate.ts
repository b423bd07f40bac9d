import { ImagevetError } from '@imagevet/registry';
import type { SourceLocation } from '../lineage/types.ts';
import { isCommitId, toRepositoryPath, toRepositoryUrl } from '../provenance/location.ts';
import type { LibraryBuild } from '../provenance/official-images/types.ts';
import type { SourceReader } from './source-reader.ts';
import type { CatalogFinding } from './types.ts';

/** Where an entry's Dockerfile is; a git tag in place of a commit is looked up in the mirror, as it stands now. */
export async function locate(
  build: LibraryBuild,
  reader: SourceReader,
): Promise<SourceLocation | Pick<CatalogFinding, 'code' | 'message'>> {
  const repository = toRepositoryUrl(build.gitRepo);
  const path = toRepositoryPath(`${build.directory}/${build.file}`);
  const named = build.gitCommit ?? build.gitFetch ?? '';
  const unnamed = (why: string) => ({
    code: 'source-unnamed' as const,
    message: `${build.gitRepo} at ${named || 'no commit'}: ${why}`,
  });
  if (repository === undefined || path === undefined) return unnamed('it is no repository URL');
  const ref = build.gitFetch === undefined ? {} : { ref: build.gitFetch };
  if (build.gitCommit !== undefined) {
    if (!isCommitId(build.gitCommit)) return unnamed('it is no full commit id');
    return { repository, commit: build.gitCommit, directory: build.directory, path, ...ref };
  }
  try {
    const commit = await reader.commitOf(repository, named);
    if (commit === undefined) return unnamed('the mirror has no such tag');
    return { repository, commit, directory: build.directory, path, ...ref };
  } catch (error) {
    if (ImagevetError.is(error)) return { code: 'mirror-missing', message: error.message };
    throw error;
  }
}
