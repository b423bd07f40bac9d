import type { Digest, ImageReference, Platform } from '@imagevet/registry';
import type { OtherVersions } from '../../lineage/options.ts';
import { sharedHost } from '../../lineage/shared-services.ts';
import type { SourceHost } from '../../lineage/types.ts';
import { datedFiles, Questions } from '../dated-files.ts';
import { architecturesOf } from '../official-images/architectures.ts';
import { parseRepoInfo, type RepoInfoImage } from './page.ts';

/** Options of {@link repoInfoVersions}. */
export interface RepoInfoVersionsOptions {
  /** Reads the repository and its history. */
  readonly host: SourceHost;
  /** @defaultValue `https://github.com/docker-library/repo-info` */
  readonly repository?: string;
}

/**
 * Finds what a tag of an official image named at a time, in the record that Docker keeps of every tag since 2015. Gives
 * images by digest, the one of that time first, then those around it; nothing for other images. They are candidates: the
 * record proves nothing, layers do.
 *
 * @returns a function for `otherVersions` of `resolveLineage()`; it throws {@link CoreError} of the host
 */
export function repoInfoVersions(options: RepoInfoVersionsOptions): OtherVersions {
  const { repository = 'https://github.com/docker-library/repo-info' } = options;
  return async function* versions(
    reference,
    { asOf, platform, cache, signal },
  ): AsyncGenerator<ImageReference> {
    const [namespace, name, ...more] = reference.repository.split('/');
    const tag = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined);
    if (reference.registry !== 'docker.io' || namespace !== 'library' || more.length > 0) return;
    if (name === undefined || tag === undefined) return;
    const host = cache === undefined ? options.host : sharedHost(options.host, cache);
    const seen = new Set<Digest>();
    const questions = new Questions(`${name}:${tag}`);
    // Until some day every tag of an image was on one page.
    for (const path of [`repos/${name}/remote/${tag}.md`, `repos/${name}/tag-details.md`]) {
      for await (const { text } of datedFiles(host, repository, path, { asOf, signal, questions })) {
        const image = parseRepoInfo(text).find((each) => each.name === name && each.tag === tag);
        const digest = image === undefined ? undefined : digestFor(image, platform);
        if (digest === undefined || seen.has(digest)) continue;
        seen.add(digest);
        yield { ...reference, tag: undefined, digest };
      }
      if (seen.size > 0) return;
    }
  };
}

/** The manifest of a platform; what the tag named itself where platforms are not told apart. */
function digestFor({ digest, platforms }: RepoInfoImage, wanted: Platform): Digest | undefined {
  const version = wanted['os.version'];
  for (const architecture of architecturesOf(wanted)) {
    const fitting = platforms.find(
      ({ platform }) =>
        platform !== undefined &&
        architecturesOf(platform)[0] === architecture &&
        (version === undefined || platform['os.version'] === version),
    );
    if (fitting !== undefined) return fitting.digest;
  }
  return digest;
}
