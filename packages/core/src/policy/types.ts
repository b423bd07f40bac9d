import type { Digest } from '@imagevet/registry';
import type { Finding, Severity } from '../audit/types.ts';
import type { Comparison, ComparisonGrade } from '../compare/types.ts';
import type { Gap } from '../errors.ts';
import type { EdgeGrade, Lineage } from '../lineage/types.ts';
import type { RebuildPlan, RebuildResult } from '../rebuild/types.ts';

/** A rule of a policy; parameters have documented defaults. */
export type PolicyRule =
  /** The spine reaches `scratch`; no cycle, no depth limit, no unresolved base. */
  | { readonly rule: 'lineage.complete' }
  /** Every base edge has at least this grade. */
  | { readonly rule: 'lineage.min-grade'; readonly grade: Exclude<EdgeGrade, 'contradicted' | 'unknown'> }
  /** No edge is contradicted and no two sources conflict. */
  | { readonly rule: 'lineage.consistent' }
  /** Every node's Dockerfile bytes were read, from a reachable commit. */
  | { readonly rule: 'source.available' }
  | { readonly rule: 'source.repositories'; readonly allow: readonly string[] }
  /** No finding of this severity or worse. */
  | { readonly rule: 'audit.max-severity'; readonly deny: Severity }
  /** Every node was rebuilt. */
  | { readonly rule: 'rebuild.complete' }
  /** Every rebuilt node compares at least this well. */
  | { readonly rule: 'compare.min-grade'; readonly grade: Exclude<ComparisonGrade, 'unexplained'> };

/** What must hold for an image to be allowed. Data, strict: unknown keys are refused. */
export interface Policy {
  readonly apiVersion: 'imagevet/v1';
  readonly kind: 'Policy';
  readonly name: string;
  readonly default: 'deny';
  readonly rules: readonly PolicyRule[];
}

/** A time-bound waiver of one rule for one subject. */
export interface PolicyException {
  readonly apiVersion: 'imagevet/v1';
  readonly kind: 'Exception';
  readonly id: string;
  readonly rule: PolicyRule['rule'];
  /** Narrows it: a finding id, a node's canonical reference. */
  readonly term?: string;
  /** Manifest digest of the public image it is for. */
  readonly digest: Digest;
  readonly reason: string;
  readonly approvedBy: string;
  /** RFC 3339. */
  readonly expires: string;
}

/** Everything a decision rests on. */
export interface Facts {
  readonly requested: string;
  readonly lineage: Lineage;
  readonly findings: readonly Finding[];
  readonly plan?: RebuildPlan;
  readonly rebuild?: RebuildResult;
  /** By step id. */
  readonly comparisons: Readonly<Record<string, Comparison>>;
  readonly gaps: readonly Gap[];
}

/** One rule's answer. `error` means it could not be checked, and counts as a failure. */
export interface Reason {
  readonly rule: PolicyRule['rule'];
  readonly outcome: 'pass' | 'fail' | 'error' | 'waived';
  readonly code: string;
  readonly message: string;
  readonly remediation?: string;
  readonly node?: string;
  /** What an exception's `term` must equal to waive it. */
  readonly term?: string;
  readonly waivedBy?: string;
}

/** The decision. */
export interface Verdict {
  readonly decision: 'allow' | 'deny';
  /** False when any input was unavailable. */
  readonly complete: boolean;
  readonly requested: string;
  /** The only thing to run: internal, digest-qualified; present exactly when allowed. */
  readonly pinned?: string;
  readonly reasons: readonly Reason[];
  /** What was not checked. */
  readonly gaps: readonly Gap[];
  readonly policy: { readonly name: string; readonly digest: Digest };
  /** RFC 3339; the time the decision was made for. */
  readonly effectiveTime: string;
}
