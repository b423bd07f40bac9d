/** Options every imagevet error accepts. */
export interface ImagevetErrorOptions {
  /** What the reader can do about it, in one sentence. */
  readonly hint?: string;
  /** The failure underneath. */
  readonly cause?: unknown;
  /** JSON-safe facts for programs: status, expected, received, path, line. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

const brand: unique symbol = Symbol.for('imagevet.error') as never;

/**
 * Base of every error imagevet throws. Errors are thrown when a question could not be answered;
 * a bad answer (a finding, a difference, a refused verdict) is data.
 */
export class ImagevetError extends Error {
  /** Stable identifier of the failure; part of the public contract. */
  readonly code: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: ImagevetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ImagevetError';
    this.code = code;
    if (options.hint !== undefined) this.hint = options.hint;
    if (options.details !== undefined) this.details = options.details;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Tells whether a value is an imagevet error, even one from another installed copy. */
  static is(value: unknown): value is ImagevetError {
    return typeof value === 'object' && value !== null && brand in value;
  }

  toJSON(): { name: string; code: string; message: string; hint?: string; details?: unknown } {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }
}

/**
 * Codes of {@link RegistryError}. An OCI wire code (`MANIFEST_UNKNOWN`, `DENIED`, ...) is kept in
 * `details.registryErrors`; these codes say what it means for the caller.
 */
export type RegistryErrorCode =
  | 'INVALID_REFERENCE'
  | 'INVALID_DIGEST'
  | 'INVALID_MANIFEST'
  | 'AMBIGUOUS_MANIFEST'
  | 'INVALID_CONFIG'
  | 'INVALID_LAYER'
  | 'INVALID_CREDENTIALS_FILE'
  | 'CREDENTIAL_HELPER_FAILED'
  | 'INVALID_HOSTS_FILE'
  | 'REGISTRY_BLOCKED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'AUTH_REQUIRED'
  | 'DENIED'
  | 'RATE_LIMITED'
  | 'DIGEST_MISMATCH'
  | 'SIZE_MISMATCH'
  | 'LIMIT_EXCEEDED'
  | 'EGRESS_REFUSED'
  | 'REDIRECT_REFUSED'
  | 'PLATFORM_NOT_FOUND'
  | 'BASE_MISMATCH'
  | 'UNSUPPORTED'
  | 'UPLOAD_FAILED'
  | 'DISK_FAILED'
  | 'UNREACHABLE'
  | 'OFFLINE'
  | 'UNTRUSTED_CERTIFICATE'
  | 'TIMEOUT'
  | 'PROTOCOL_ERROR';

/** What to do about a failure that says nothing closer itself. */
const HINTS: Readonly<Partial<Record<RegistryErrorCode, string>>> = {
  REDIRECT_REFUSED:
    'Ask the registry where it keeps its content, and name that place in hosts if you trust it.',
  LIMIT_EXCEEDED: 'Nothing sound is this large; raise the limit only for content you know.',
  INVALID_MANIFEST:
    'Tell the publisher; the image has to be pushed again with a tool that writes valid manifests.',
  AMBIGUOUS_MANIFEST: 'Do not run it: tools that read it differently run different images.',
};

/** A question to a registry, or to bytes that came from one, could not be answered. */
export class RegistryError extends ImagevetError {
  declare readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string, options: ImagevetErrorOptions = {}) {
    super(code, message, { ...options, hint: options.hint ?? HINTS[code] });
    this.name = 'RegistryError';
  }
}
