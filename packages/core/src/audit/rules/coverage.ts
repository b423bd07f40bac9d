import type { AuditRule } from '../rule.ts';
import { instructionsIn } from '../unit.ts';

/** Rules that say what was not looked at. */
export const coverageRules: readonly AuditRule[] = [
  {
    id: 'VET080',
    title: 'RUN was not understood, not audited',
    severity: 'info',
    rationale:
      'Its commands are in a language this audit does not read (PowerShell, cmd, Python) or not well-formed shell.',
    remediation: 'Review it by hand.',
    appliesTo: 'dockerfile',
    *check(unit) {
      for (const { instruction, run } of instructionsIn(unit)) {
        if (run?.kind === 'unread') yield { message: `not audited: ${run.reason}`, lines: instruction };
        if (run?.kind !== 'shell') continue;
        for (const reason of new Set(run.unread)) {
          yield { message: `not audited in full: ${reason}`, lines: instruction };
        }
      }
    },
  },
];
