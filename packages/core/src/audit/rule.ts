import type { LineRange } from '../dockerfile/types.ts';
import type { Severity } from './types.ts';
import type { DockerfileUnit, LineageUnit } from './unit.ts';

/** What one rule found at one place, before it becomes a `Finding`. */
export interface FindingDraft {
  readonly message: string;
  /** When it differs from the rule's. */
  readonly severity?: Severity;
  readonly lines?: LineRange;
  /** Text to look for within `lines`, to point at one line of a long instruction. */
  readonly at?: string;
  /** Secret values to be masked in the excerpt. */
  readonly mask?: readonly string[];
  /** Lineage node, for rules over the lineage. */
  readonly node?: string;
}

/** What every rule says about itself. */
interface RuleFacts {
  /** `VET001` ...; never reused for another meaning. */
  readonly id: string;
  readonly title: string;
  /** The usual severity; a finding may say a lower or higher one with its reason. */
  readonly severity: Severity;
  /** Why it matters. */
  readonly rationale: string;
  /** What to do about it. */
  readonly remediation: string;
}

/** A rule over the text of one Dockerfile. */
export interface DockerfileRule extends RuleFacts {
  readonly appliesTo: 'dockerfile';
  check(unit: DockerfileUnit): Iterable<FindingDraft>;
}

/** A rule over a whole lineage: images, edges, provenance. */
export interface LineageRule extends RuleFacts {
  readonly appliesTo: 'lineage';
  check(unit: LineageUnit): Iterable<FindingDraft>;
}

/** A check of the audit: data about it, and the function. */
export type AuditRule = DockerfileRule | LineageRule;
