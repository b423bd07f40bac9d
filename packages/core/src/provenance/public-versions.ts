import type { OtherVersions } from '../lineage/options.ts';
import type { SourceHost } from '../lineage/types.ts';
import { joinVersions } from './join-versions.ts';
import { externalPinVersions } from './official-images/external-pins.ts';
import { repoInfoVersions } from './repo-info/versions.ts';

/** Options of {@link publicVersions}. */
export interface PublicVersionsOptions {
  /** Reads the repositories that keep records. */
  readonly host: SourceHost;
  /** @defaultValue `https://github.com/docker-library/repo-info` */
  readonly repoInfoRepository?: string;
  /** @defaultValue `https://github.com/docker-library/official-images` */
  readonly libraryRepository?: string;
}

/**
 * Joins the public records of what tags named: {@link repoInfoVersions} for official images, {@link externalPinVersions} for the
 * others they are built on. `publicServices()` has it.
 *
 * @returns a function for `otherVersions` of `resolveLineage()`; it throws {@link CoreError} of the host
 */
export function publicVersions(options: PublicVersionsOptions): OtherVersions {
  const { host, repoInfoRepository, libraryRepository } = options;
  return joinVersions(
    repoInfoVersions({ host, repository: repoInfoRepository }),
    externalPinVersions({ host, repository: libraryRepository }),
  );
}
