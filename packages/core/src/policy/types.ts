import type { Digest } from '@imagevet/registry';
import type { Finding, Severity } from '../audit/types.ts';
import type { Comparison, ComparisonGrade } from '../compare/types.ts';
import type { Gap } from '../errors.ts';
import type { PlatformDivergence } from '../lineage/resolve-lineages.ts';
import type { EdgeGrade, Lineage } from '../lineage/types.ts';
import type { RebuildPlan, RebuildResult } from '../rebuild/types.ts';

/** A rule of a policy; parameters have documented defaults. */
export type PolicyRule =
  /** The spine reaches `scratch` or an imported root filesystem; no cycle, no depth limit, no unresolved base. */
  | { readonly rule: 'lineage.complete' }
  /** Every base edge has at least this grade. */
  | { readonly rule: 'lineage.min-grade'; readonly grade: Exclude<EdgeGrade, 'contradicted' | 'unknown'> }
  /** No edge is contradicted and no two sources conflict. */
  | { readonly rule: 'lineage.consistent' }
  /** The other platforms of the image come from the same source and stand on the same bases. */
  | { readonly rule: 'lineage.platforms-agree' }
  /** Every node's Dockerfile bytes were read, from a reachable commit. */
  | { readonly rule: 'source.available' }
  | { readonly rule: 'source.repositories'; readonly allow: readonly string[] }
  /** No finding of this severity or worse. */
  | { readonly rule: 'audit.max-severity'; readonly deny: Severity }
  /** Every node was rebuilt. */
  | { readonly rule: 'rebuild.complete' }
  /** Every `# syntax=` image is of one of these repositories: `docker.io/docker/dockerfile`. */
  | { readonly rule: 'rebuild.frontends'; readonly allow: readonly string[] }
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

/** The name of a rule. */
export type RuleName = PolicyRule['rule'];

/** A time-bound waiver of one rule for one subject. Data, strict: unknown keys are refused. */
export interface PolicyException {
  readonly apiVersion: 'imagevet/v1';
  readonly kind: 'Exception';
  readonly id: string;
  readonly rule: RuleName;
  /** Narrows it: a finding id, a node's canonical reference. */
  readonly term?: string;
  /**
   * Manifest digest, one platform's, of the public image it is for: the image asked about, or the ancestor a
   * reason names. Never an index.
   */
  readonly digest: Digest;
  readonly reason: string;
  readonly approvedBy: string;
  /** RFC 3339; not applied before. Without it the lifetime is counted from the time of the decision. */
  readonly approvedAt?: string;
  /** RFC 3339; not applied from this instant on, nor when the lifetime is over 90 days. */
  readonly expires: string;
}

/** What became of an exception in a decision. */
export interface ExceptionUse {
  readonly id: string;
  readonly status:
    | 'used'
    /** Every reason it could have waived passed, or it matches none. */
    | 'unused'
    | 'expired'
    | 'not-yet-effective'
    /** Its lifetime is longer than 90 days. */
    | 'too-long'
    /** Neither the image asked about nor an ancestor has this digest. */
    | 'other-digest'
    /** It names a failure that nothing may waive. */
    | 'not-waivable';
  readonly message: string;
}

/** Everything a decision rests on. */
export interface Facts {
  readonly requested: string;
  readonly lineage: Lineage;
  readonly findings: readonly Finding[];
  /** What other platforms of the image have otherwise; absent when they were not looked at. */
  readonly divergences?: readonly PlatformDivergence[];
  readonly plan?: RebuildPlan;
  readonly rebuild?: RebuildResult;
  /** By step id. */
  readonly comparisons: Readonly<Record<string, Comparison>>;
  readonly gaps: readonly Gap[];
}

/** One rule's answer. `error` means it could not be checked, and counts as a failure. */
export interface Reason {
  /** `policy` speaks of the policy itself, `pinned` of the reference to run; neither can be waived. */
  readonly rule: RuleName | 'policy' | 'pinned';
  readonly outcome: 'pass' | 'fail' | 'error' | 'waived';
  /** Stable: `<rule's room>.<what>`, such as `lineage.edge-contradicted`. */
  readonly code: string;
  readonly message: string;
  readonly remediation?: string;
  readonly node?: string;
  /** What an exception's `term` must equal to waive it. */
  readonly term?: string;
  /** Id of the exception that waived it. */
  readonly waivedBy?: string;
}

/** The decision. */
export interface Verdict {
  readonly decision: 'allow' | 'deny';
  /** False when any input was unavailable: a gap, or a rule that could not be checked. */
  readonly complete: boolean;
  readonly requested: string;
  /** The only thing to run: internal, digest-qualified; present exactly when allowed. */
  readonly pinned?: string;
  /** In the order of the policy's rules, then from the image asked about down to its base. */
  readonly reasons: readonly Reason[];
  /** What was not checked. */
  readonly gaps: readonly Gap[];
  /** Every exception given, by id. */
  readonly exceptions: readonly ExceptionUse[];
  readonly policy: { readonly name: string; readonly digest: Digest };
  /** RFC 3339; the time the decision was made for. */
  readonly effectiveTime: string;
}
