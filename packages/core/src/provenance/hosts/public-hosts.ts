import type { RefReader } from '../../drift/types.ts';
import type { SourceHost } from '../../lineage/types.ts';
import { bitbucketHost } from './api/bitbucket.ts';
import { cgitHost } from './api/cgit.ts';
import { giteaHost } from './api/gitea.ts';
import { type GitHubHostOptions, gitHubHost } from './api/github.ts';
import { gitLabHost } from './api/gitlab.ts';
import { type GitMirrorHostOptions, gitMirrorHost } from './git/git-mirror.ts';
import { sourceHosts } from './source-hosts.ts';

/** Options of {@link publicHosts}. */
export interface PublicHostsOptions extends GitHubHostOptions {
  /** Mirrors for repositories on git servers that have no API; without it only single files of Launchpad are read. */
  readonly mirrors?: GitMirrorHostOptions;
  /** Asked before all others: GitLabs and Giteas of one's own, or a token for gitlab.com. */
  readonly hosts?: readonly (SourceHost & Partial<RefReader>)[];
}

/**
 * Creates the hosts public images are built from: GitHub, GitLab (and that of Arch Linux), Bitbucket and Codeberg by
 * their APIs, every other git server by mirrors. The token is GitHub's, and sent nowhere else.
 */
export function publicHosts(options: PublicHostsOptions = {}): SourceHost & RefReader {
  const { mirrors, hosts = [], webUrl, apiUrl, rawUrl, archiveUrl, token, ...shared } = options;
  return sourceHosts([
    ...hosts,
    gitHubHost(options),
    gitLabHost(shared),
    gitLabHost({ ...shared, webUrl: 'https://gitlab.archlinux.org' }),
    bitbucketHost(shared),
    giteaHost(shared),
    mirrors === undefined
      ? cgitHost(shared)
      : gitMirrorHost({ ...(options.offline === true ? { offline: true } : {}), ...mirrors }),
  ]);
}
