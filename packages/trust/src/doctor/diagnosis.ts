/** Something about a collection that will not stay well by itself. */
export interface TrustDiagnosis {
  readonly code:
    | 'not-verifiable'
    | 'broken-collection'
    | 'invalid-role'
    | 'expired-role'
    | 'expiring-role'
    | 'root-certificate-expires'
    | 'stale-fallback'
    | 'orphan-key'
    | 'unreadable-key'
    | 'docker-does-not-verify'
    | 'hub-notary-closes';
  /** `error`: something does not work or does not protect now; `warning`: it will. */
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** What to do. */
  readonly remedy: string;
  readonly role?: string;
  /** When it happens, RFC 3339. */
  readonly at?: string;
}
