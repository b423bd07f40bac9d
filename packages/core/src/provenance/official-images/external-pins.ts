import {
  type Digest,
  familiarReference,
  formatReference,
  type ImageReference,
  withDefaultTag,
} from '@imagevet/registry';
import type { OtherVersions } from '../../lineage/options.ts';
import { sharedHost } from '../../lineage/shared-services.ts';
import type { SourceHost } from '../../lineage/types.ts';
import { datedFiles, Questions } from '../dated-files.ts';

/** Options of {@link externalPinVersions}. */
export interface ExternalPinVersionsOptions {
  /** Reads the repository and its history. */
  readonly host: SourceHost;
  /** @defaultValue `https://github.com/docker-library/official-images` */
  readonly repository?: string;
}

/**
 * Finds what a tag outside Docker's official images (`mcr.microsoft.com/windows/servercore`, `redhat/ubi9`, ...) named when
 * official images were built on it: their builds pin such bases, and the pins have a history. Gives images by digest, the one
 * of that time first, then those around it. They are candidates: the pin proves nothing, layers do.
 *
 * @returns a function for `otherVersions` of `resolveLineage()`; it throws {@link CoreError} of the host
 */
export function externalPinVersions(options: ExternalPinVersionsOptions): OtherVersions {
  const { repository = 'https://github.com/docker-library/official-images' } = options;
  return async function* versions(reference, { asOf, cache, signal }): AsyncGenerator<ImageReference> {
    const path = pinPath(reference);
    if (path === undefined) return;
    const host = cache === undefined ? options.host : sharedHost(options.host, cache);
    const seen = new Set<Digest>();
    const questions = new Questions(formatReference(reference));
    for await (const { text } of datedFiles(host, repository, path, { asOf, signal, questions })) {
      const digest = parseExternalPin(text);
      if (digest === undefined || seen.has(digest)) continue;
      seen.add(digest);
      yield { ...reference, tag: undefined, digest };
    }
  };
}

/** Reads a pin: one digest. Undefined for anything else. */
export function parseExternalPin(text: string): Digest | undefined {
  return /^\s{0,8}(sha256:[0-9a-f]{64})\s{0,8}$/.exec(text)?.[1] as Digest | undefined;
}

/** `.external-pins/redhat/ubi9___latest`: the name as people write it, its first colon replaced. */
function pinPath(reference: ImageReference): string | undefined {
  const named = withDefaultTag(reference);
  const isOfficial = named.registry === 'docker.io' && named.repository.startsWith('library/');
  if (named.tag === undefined || isOfficial) return undefined;
  return `.external-pins/${familiarReference({ ...named, digest: undefined }).replace(':', '___')}`;
}
