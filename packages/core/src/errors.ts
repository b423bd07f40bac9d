import { ImagevetError, type ImagevetErrorOptions } from '@imagevet/registry';

/** Codes of {@link CoreError}. */
export type CoreErrorCode =
  | 'INVALID_DOCKERFILE'
  | 'INVALID_LIBRARY_FILE'
  | 'INVALID_OPTIONS'
  | 'INVALID_POLICY'
  | 'SOURCE_NOT_FOUND'
  | 'SOURCE_COMMIT_NOT_FOUND'
  | 'SOURCE_UNREACHABLE'
  | 'SOURCE_DENIED'
  | 'SOURCE_RATE_LIMITED'
  | 'SOURCE_UNSUPPORTED'
  | 'SOURCE_LIMIT_EXCEEDED'
  | 'SOURCE_INVALID'
  | 'OFFLINE'
  | 'ENGINE_UNREACHABLE'
  | 'ENGINE_LOST'
  | 'ENGINE_REFUSED'
  | 'BUILD_FAILED'
  | 'BUILD_LIMIT_EXCEEDED'
  | 'BUILD_UNSUPPORTED'
  | 'PACKAGE_DATABASE_INVALID'
  | 'PACKAGE_DATABASE_TOO_LARGE'
  | 'SECRET_IN_IMAGE'
  | 'PUSH_FAILED'
  | 'PLAN_INVALID'
  | 'NAME_UNMAPPED'
  | 'NAME_CONFLICT'
  | 'PROMOTION_CONFLICT'
  | 'QUEUE_UNREACHABLE'
  | 'QUEUE_INVALID'
  | 'WORKER_LOST';

/** A question of lineage, provenance, rebuild, comparison or policy could not be answered. */
export class CoreError extends ImagevetError {
  declare readonly code: CoreErrorCode;

  constructor(code: CoreErrorCode, message: string, options: ImagevetErrorOptions = {}) {
    super(code, message, options);
    this.name = 'CoreError';
  }
}

/**
 * Something a stage could not look at. A gap is data: it travels to the verdict, which says what was not
 * checked; it never turns into a pass.
 */
export interface Gap {
  readonly stage: 'resolve' | 'provenance' | 'lineage' | 'audit' | 'rebuild' | 'compare' | 'trust';
  /** The code of the error that made the gap, or a stage's own code. */
  readonly code: string;
  readonly message: string;
  /** Id of the lineage node it concerns. */
  readonly node?: string;
  readonly hint?: string;
}
