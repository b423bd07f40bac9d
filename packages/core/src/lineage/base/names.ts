import {
  formatPlatform,
  formatReference,
  type ImageReference,
  ImagevetError,
  normalizePlatform,
  type Platform,
  parsePlatform,
  parseReference,
  withDefaultTag,
} from '@imagevet/registry';
import type { ExternalImage } from '../../dockerfile/queries.ts';
import type { ProvenanceClaim } from '../types.ts';

/** `<canonical reference> <platform>`: one image of a lineage. */
export function idOf(reference: ImageReference, platform: Platform): string {
  return `${formatReference(reference)} ${formatPlatform(platform)}`;
}

/** The platform a `--platform` names; none where it is no name of one, as a builder would refuse it. */
export function takenOn(text: string | undefined): { readonly platform?: Platform } {
  if (text === undefined) return {};
  try {
    return { platform: normalizePlatform(parsePlatform(text)) };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return {};
  }
}

/** The base a claim names, when no Dockerfile says. */
export function baseFromClaims(claims: readonly ProvenanceClaim[]): ExternalImage['name'] | undefined {
  const claim = claims.find(({ base }) => base !== undefined);
  const text = claim?.base?.reference;
  if (text === undefined) return undefined;
  if (text === 'scratch') return { kind: 'scratch', text };
  try {
    return { kind: 'image', reference: parseReference(text), text };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return { kind: 'unresolved', text, reason: error.message };
  }
}

/** Tells whether a claim's base is this image; a name without a tag is that of every tag of its repository. */
export function names(claim: ProvenanceClaim, reference: ImageReference): boolean {
  try {
    const claimed = withDefaultTag(parseReference(claim.base?.reference ?? ''));
    return (
      claimed.registry === reference.registry &&
      claimed.repository === reference.repository &&
      (claimed.tag === reference.tag || claimed.tag === undefined || reference.tag === undefined)
    );
  } catch {
    return false;
  }
}
