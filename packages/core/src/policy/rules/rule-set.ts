import type { RuleCheck } from '../rule.ts';
import type { PolicyRule, RuleName } from '../types.ts';
import { auditMaxSeverity } from './audit-max-severity.ts';
import { compareMinGrade } from './compare-min-grade.ts';
import { lineageComplete } from './lineage-complete.ts';
import { lineageConsistent } from './lineage-consistent.ts';
import { lineageMinGrade } from './lineage-min-grade.ts';
import { lineagePlatformsAgree } from './lineage-platforms-agree.ts';
import { rebuildComplete } from './rebuild-complete.ts';
import { rebuildFrontends } from './rebuild-frontends.ts';
import { sourceAvailable } from './source-available.ts';
import { sourceRepositories } from './source-repositories.ts';

/** Every rule, by name; the type makes a missing one a compile error. */
export const RULES: { readonly [Name in RuleName]: RuleCheck<Extract<PolicyRule, { rule: Name }>> } = {
  'lineage.complete': lineageComplete,
  'lineage.min-grade': lineageMinGrade,
  'lineage.consistent': lineageConsistent,
  'lineage.platforms-agree': lineagePlatformsAgree,
  'source.available': sourceAvailable,
  'source.repositories': sourceRepositories,
  'audit.max-severity': auditMaxSeverity,
  'rebuild.complete': rebuildComplete,
  'rebuild.frontends': rebuildFrontends,
  'compare.min-grade': compareMinGrade,
};

/** Says what a rule asks for and why, each in one or two sentences. */
export function describeRule(rule: RuleName): { readonly title: string; readonly rationale: string } {
  const { title, rationale } = RULES[rule];
  return { title, rationale };
}
