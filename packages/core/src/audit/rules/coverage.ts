import { findOtherReading } from '../../dockerfile/second-reading.ts';
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
  {
    id: 'VET083',
    title: 'Other tools read another Dockerfile',
    severity: 'medium',
    rationale:
      'The builder runs an instruction that a widely used syntax tree does not show there, so a reviewer or scanner may never have seen it.',
    remediation: 'Write the line before it so that it does not end in an escape character.',
    appliesTo: 'dockerfile',
    *check({ dockerfile }) {
      const hidden = findOtherReading(dockerfile);
      if (hidden === undefined) return;
      const message = `${hidden.keyword} in line ${hidden.startLine} is run by the builder and not shown by other tools`;
      yield { message, lines: hidden };
    },
  },
];
