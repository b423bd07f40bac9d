import { type Fetcher, RegistryClient, type RegistryClientOptions } from '@imagevet/registry';
import type { RefReader } from '../drift/types.ts';
import type { ProvenanceSource, SourceHost } from '../lineage/types.ts';
import { publicHosts } from './hosts/public-hosts.ts';
import { publicSources } from './public-sources.ts';

/** Options of {@link publicServices}. */
export interface PublicServicesOptions extends Pick<RegistryClientOptions, 'hosts' | 'keychain'> {
  /**
   * Registries without an entry in `hosts` that may be in the caller's own network: that of the image asked about, for one.
   * A FROM line or a claim that names any other there is refused.
   *
   * @defaultValue none
   */
  readonly internalRegistries?: readonly string[];
  /** Docker Hub's web API. @defaultValue `https://hub.docker.com` */
  readonly hubUrl?: string;
  /**
   * One server that stands for GitHub: its API below `/api`, raw files below `/raw`. @defaultValue GitHub's own three hosts
   */
  readonly gitUrl?: string;
  /** Sent to GitHub's API only. Without one it answers 60 requests an hour. */
  readonly gitHubToken?: string;
  /** Folder for mirrors of repositories that are not on GitHub; without it those are not read. */
  readonly mirrorDirectory?: string;
}

/** Everything public that a vetting asks: registries, provenance sources and source hosts, wired to each other. */
export interface PublicServices {
  readonly registry: RegistryClient & Fetcher;
  readonly sources: readonly ProvenanceSource[];
  readonly host: SourceHost & RefReader;
}

/** Wires the public services, or what stands for them, for {@link resolveLineage} and `vet()`. */
export function publicServices(options: PublicServicesOptions = {}): PublicServices {
  const { hosts, keychain, internalRegistries = [], hubUrl, gitUrl, gitHubToken, mirrorDirectory } = options;
  const registry = new RegistryClient({ hosts, keychain, internalRegistries });
  const base = gitUrl?.replace(/\/+$/, '');
  const host = publicHosts({
    ...(base === undefined ? {} : { apiUrl: `${base}/api`, rawUrl: `${base}/raw`, archiveUrl: base }),
    ...(gitHubToken === undefined ? {} : { token: gitHubToken }),
    ...(mirrorDirectory === undefined ? {} : { mirrors: { directory: mirrorDirectory } }),
  });
  return {
    registry,
    host,
    sources: publicSources({ host, registry, ...(hubUrl === undefined ? {} : { hubUrl }) }),
  };
}
