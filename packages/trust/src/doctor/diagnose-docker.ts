import type { TrustDiagnosis } from './diagnosis.ts';

/** What is known of a docker installation. */
export interface DockerInstallation {
  /** Version of the docker CLI: `28.2.2`. */
  readonly version?: string;
  /** Value of `DOCKER_CONTENT_TRUST`. */
  readonly contentTrust?: string;
  /** Value of `DOCKER_CONTENT_TRUST_SERVER`; empty is unset, as to docker. */
  readonly contentTrustServer?: string;
}

const HUB_NOTARY = 'notary.docker.io';

/**
 * Tells whether a docker installation enforces what its settings promise: docker 29 and later ignore them, and Docker Hub's
 * notary closes. It is asked where no other server is named and trust is on, or where it is named itself.
 */
export function diagnoseDocker(docker: DockerInstallation, now: Date = new Date()): TrustDiagnosis[] {
  const found: TrustDiagnosis[] = [];
  // Docker takes any text for true that Go does not know for false.
  const enabled =
    docker.contentTrust !== undefined && !/^(|0|f|F|false|FALSE|False)$/.test(docker.contentTrust);
  const major = Number.parseInt(docker.version ?? '', 10);
  if (enabled && major >= 29) {
    found.push({
      code: 'docker-does-not-verify',
      severity: 'error',
      message: `docker ${docker.version} ignores DOCKER_CONTENT_TRUST without a word: nothing is verified`,
      remedy: 'Resolve images with resolveTrusted() and run them by digest.',
    });
  }
  const named = docker.contentTrustServer || undefined;
  if (named === undefined ? enabled : URL.parse(named)?.hostname === HUB_NOTARY) {
    const closed = now.getTime() >= Date.parse('2026-12-08T00:00:00Z');
    found.push({
      code: 'hub-notary-closes',
      severity: closed ? 'error' : 'warning',
      message: `${HUB_NOTARY} ${closed ? 'is closed' : 'closes'} on 2026-12-08`,
      remedy:
        'Archive its trust data with archiveCollection(), and sign vetted images on a server of your own.',
      at: '2026-12-08T00:00:00Z',
    });
  }
  return found;
}
