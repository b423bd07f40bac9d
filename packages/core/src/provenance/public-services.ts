import type { Fetcher, RegistryClient, RegistryClientOptions } from '@imagevet/registry';
import type { RefReader } from '../drift/types.ts';
import type { OtherVersions } from '../lineage/options.ts';
import type { ProvenanceSource, SourceHost } from '../lineage/types.ts';
import { type PublicHostsOptions, publicHosts } from './hosts/public-hosts.ts';
import { publicSources } from './public-sources.ts';
import { publicVersions } from './public-versions.ts';
import { KeptRegistry } from './registry/kept-registry.ts';
import type { AllowanceOptions } from './web/allowance.ts';
import { AnswerCache } from './web/answer-cache.ts';

/** Options of {@link publicServices}. */
export interface PublicServicesOptions
  extends Pick<RegistryClientOptions, 'hosts' | 'keychain'>,
    AllowanceOptions {
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
  /** Asked before GitHub and all others: hosts of one's own, or a token for GitLab. */
  readonly sourceHosts?: PublicHostsOptions['hosts'];
  /**
   * Folder for what registries, Docker Hub and source hosts answer: what a digest or commit names is never asked for again,
   * the rest only whether it has changed. Layers are not kept.
   */
  readonly cacheDirectory?: string;
  /** As {@link AnswerCacheOptions.secret}. */
  readonly cacheSecret?: string;
  /** Told of what in the cache was refused or could not be written. */
  readonly onCacheProblem?: (problem: Error) => void;
  /** Folders in the OCI image layout that are read in place of repositories, by name: `docker.io/library/php`. */
  readonly layouts?: Readonly<Record<string, string>>;
  /**
   * Opens no connection at all: only the cache, mirrors and layouts are read, as of when they were written. What is not there
   * fails with `OFFLINE`, which a lineage reports as a gap.
   *
   * @defaultValue false
   */
  readonly offline?: boolean;
}

/** Everything public that a vetting asks: registries, provenance sources and source hosts, wired to each other. */
export interface PublicServices {
  readonly registry: RegistryClient & Fetcher;
  readonly sources: readonly ProvenanceSource[];
  readonly host: SourceHost & RefReader;
  /** What public records say a base's tag named, asked for only when it names another image than the child was built on. */
  readonly otherVersions: OtherVersions;
}

/** Wires the public services, or what stands for them, for {@link resolveLineage} and `vet()`. */
export function publicServices(options: PublicServicesOptions = {}): PublicServices {
  const { hosts, keychain, internalRegistries = [], layouts, gitHubToken, mirrorDirectory } = options;
  const { cacheDirectory, cacheSecret: secret, onCacheProblem: onProblem, offline = false } = options;
  const { maxRequests, reserve } = options;
  const cache =
    cacheDirectory === undefined
      ? undefined
      : new AnswerCache({ directory: cacheDirectory, secret, onProblem });
  const registry = new KeptRegistry({ hosts, keychain, internalRegistries, cache, layouts, offline });
  const asking = { cache, offline, maxRequests, reserve };
  const base = options.gitUrl?.replace(/\/+$/, '');
  const host = publicHosts({
    ...asking,
    ...(base === undefined ? {} : { apiUrl: `${base}/api`, rawUrl: `${base}/raw`, archiveUrl: base }),
    ...(gitHubToken === undefined ? {} : { token: gitHubToken }),
    ...(mirrorDirectory === undefined ? {} : { mirrors: { directory: mirrorDirectory, offline } }),
    ...(options.sourceHosts === undefined ? {} : { hosts: options.sourceHosts }),
  });
  const { hubUrl } = options;
  const sources = publicSources({ ...asking, host, registry, ...(hubUrl === undefined ? {} : { hubUrl }) });
  return { registry, host, sources, otherVersions: publicVersions({ host }) };
}
