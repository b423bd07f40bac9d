/** What every operation that waits accepts. */
export interface OperationOptions {
  /** Aborting rejects with `signal.reason`, unwrapped and never retried. */
  readonly signal?: AbortSignal;
}
