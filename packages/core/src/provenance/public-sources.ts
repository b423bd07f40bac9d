import type { Fetcher } from '@imagevet/registry';
import type { ProvenanceSource, SourceHost } from '../lineage/types.ts';
import { buildkitAttestationSource } from './attestation/source.ts';
import { type DockerHubOptions, dockerHubSource } from './docker-hub/source.ts';
import { ociAnnotationSource } from './image/annotations.ts';
import { imageHistorySource } from './image/history.ts';
import { imageLabelSource } from './image/labels.ts';
import { officialImagesSource } from './official-images/source.ts';

/** Options of {@link publicSources}. */
export interface PublicSourcesOptions extends Omit<DockerHubOptions, 'host'> {
  /** Reads the repositories official images are described in. */
  readonly host: SourceHost;
  /** Reads attestations; without it they are not asked for. */
  readonly registry?: Fetcher;
  /** @defaultValue `https://github.com/docker-library/official-images` */
  readonly libraryRepository?: string;
  /**
   * Adds {@link imageHistorySource}: a reconstructed Dockerfile stands in where the real one cannot be read.
   * @defaultValue false
   */
  readonly reconstruct?: boolean;
}

/** Lists every source of provenance for public images, most trustworthy first. */
export function publicSources(options: PublicSourcesOptions): readonly ProvenanceSource[] {
  const { host, registry, libraryRepository, reconstruct = false } = options;
  return [
    ...(registry === undefined ? [] : [buildkitAttestationSource({ registry })]),
    ociAnnotationSource(),
    officialImagesSource({ host, repository: libraryRepository }),
    dockerHubSource(options),
    imageLabelSource(),
    ...(reconstruct ? [imageHistorySource()] : []),
  ];
}
