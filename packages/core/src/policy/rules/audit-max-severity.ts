import type { Severity } from '../../audit/types.ts';
import { nameOf } from '../facts-view.ts';
import { answer, type Failure, gapFailures, type RuleCheck } from '../rule.ts';
import type { PolicyRule } from '../types.ts';

type MaxSeverity = Extract<PolicyRule, { rule: 'audit.max-severity' }>;

/** Worst first. */
const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info'];

/** `audit.max-severity` */
export const auditMaxSeverity: RuleCheck<MaxSeverity> = {
  title: 'No finding of this severity or worse in the whole lineage',
  rationale:
    'A download nobody verified runs with the same rights whether the last Dockerfile or the first one made it.',
  check: ({ deny }, view) => {
    const findings = view.facts.findings.filter(
      ({ severity }) => SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(deny),
    );
    const failures: Failure[] = findings.map((finding) => ({
      outcome: 'fail',
      code: 'audit.finding',
      message: `${finding.rule} (${finding.severity}): ${finding.message}`,
      node: finding.node,
      term: finding.id,
      ...(finding.remediation === undefined ? {} : { remediation: finding.remediation }),
    }));
    for (const node of view.nodes) {
      const { text, status, consistency } = node.dockerfile;
      // No Dockerfile makes an image that is the OCI layout of its repository; that none does is a finding of its own.
      if (text !== undefined || (status === 'imported' && consistency === 'consistent')) continue;
      const message = 'its Dockerfile was not read, so it was not audited';
      failures.push({
        outcome: 'error',
        code: 'audit.not-audited',
        message,
        node: node.id,
        term: nameOf(node),
      });
    }
    failures.push(...gapFailures(view, ['audit'], 'audit.not-checked', 'part of the audit was not done'));
    return answer(failures, 'audit.max-severity', `no finding of severity ${deny} or worse`);
  },
};
