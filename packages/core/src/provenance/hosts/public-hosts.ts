import type { RefReader } from '../../drift/types.ts';
import type { SourceHost } from '../../lineage/types.ts';
import { type GitMirrorHostOptions, gitMirrorHost } from './git-mirror.ts';
import { type GitHubHostOptions, gitHubHost } from './github.ts';
import { sourceHosts } from './source-hosts.ts';

/** Options of {@link publicHosts}. */
export interface PublicHostsOptions extends GitHubHostOptions {
  /** Mirrors for repositories that are not on GitHub; without it only GitHub is read. */
  readonly mirrors?: GitMirrorHostOptions;
}

/** Creates the hosts public images are built from: GitHub by its API, every other git server by mirrors. */
export function publicHosts(options: PublicHostsOptions = {}): SourceHost & RefReader {
  const { mirrors } = options;
  return sourceHosts([gitHubHost(options), ...(mirrors === undefined ? [] : [gitMirrorHost(mirrors)])]);
}
