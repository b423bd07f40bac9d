import type { ProvenanceClaim } from '../types.ts';

/** What a list of official images leaves of the claims about one of them. */
export interface ListedClaims {
  /** Those that may be followed. */
  readonly credible: readonly ProvenanceClaim[];
  /** Why the others are not. */
  readonly problem?: string;
}

/**
 * Sets aside what describes a name that the library lists for other platforms alone. Descriptions are made from the library, and
 * cannot know of an image it does not; what an image says of itself stands.
 */
export function listed(claims: readonly ProvenanceClaim[]): ListedClaims {
  const { problem } = absence(claims);
  if (problem === undefined) return { credible: claims };
  return { credible: claims.filter(({ kind }) => kind !== 'docker-hub-description'), problem };
}

/** Who says that there is no such image for the platform, and in which words; empty when nobody does. */
export function absence(claims: readonly ProvenanceClaim[]): {
  readonly problem?: string;
  readonly claim?: ProvenanceClaim;
} {
  const claim = claims.find(({ notListed }) => notListed !== undefined);
  if (claim?.notListed === undefined) return {};
  const { platform, listedFor } = claim.notListed;
  const when = claim.asOf === undefined ? '' : ` as of ${claim.asOf}`;
  const problem = `${claim.kind} lists its name for ${listedFor.join(', ')}${when}, and not for ${platform}`;
  return { problem, claim };
}

/** Tells whether anybody knows of an image. */
export function isKnown(claims: readonly ProvenanceClaim[]): boolean {
  return listed(claims).credible.some(({ notListed }) => notListed === undefined);
}
