import type { Digest } from './digest.ts';

/** A repository of a registry: `docker.io` and `library/php`. */
export interface Repository {
  /** Domain with optional port, as in the canonical name: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** Path below the domain: `library/php`. */
  readonly repository: string;
}

/** An image reference in canonical form; plain data. @see distribution/reference grammar */
export interface ImageReference extends Repository {
  readonly tag?: string;
  readonly digest?: Digest;
}
