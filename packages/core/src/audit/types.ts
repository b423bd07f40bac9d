import type { LineRange } from '../dockerfile/types.ts';
import type { SourceLocation } from '../lineage/types.ts';

export type Severity = 'critical' | 'high' | 'medium' | 'low' | 'info';

/** Something an auditor should know about an image of the lineage. */
export interface Finding {
  /** Stable over re-runs: hash of rule, node source and text, not of line numbers alone. */
  readonly id: string;
  /** `VET001` ... */
  readonly rule: string;
  readonly severity: Severity;
  readonly title: string;
  /** What was found, here. */
  readonly message: string;
  readonly remediation?: string;
  /** Lineage node it belongs to: the ancestor whose Dockerfile must change. */
  readonly node: string;
  readonly source?: SourceLocation;
  /** Lines in the Dockerfile. */
  readonly lines?: LineRange;
  /** The text at those lines, at most 500 characters. */
  readonly excerpt?: string;
}
