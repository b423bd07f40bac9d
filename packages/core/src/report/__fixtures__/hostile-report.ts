import type { VetReport } from '../types.ts';
import { denyReport } from './reports.ts';

/** Strings that try to leave their place in every field that comes from outside. */
export const HOSTILE: readonly string[] = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</style></svg></pre></textarea><iframe src="https://evil.example">',
  ']]><!--',
  'javascript:alert(1)',
  '\u202etxt.exe\u202c \u0000\u001b[31mred\u001b[0m \u200b\u2066',
  '[click](javascript:alert(1)) ![x](https://evil.example/x.png) `code` | cell @everyone #1 **b**',
  '````\n# heading\n| a | b |\n|---|---|\n<details open><b>',
];

/** A report whose every foreign string is hostile. */
export function hostileReport(): VetReport {
  const evil = HOSTILE.join(' ');
  const report = denyReport();
  return twist(report, evil) as VetReport;
}

/** What the code itself writes: everything else in a report may come from outside. */
const OWN = new Set([
  'apiVersion',
  'kind',
  'decision',
  'outcome',
  'status',
  'severity',
  'grade',
  'change',
  'aspects',
  'about',
  'verdict',
  'reachability',
  'consistency',
  'end',
  'stage',
  'root',
  'id',
  'node',
  'from',
  'to',
  'step',
  'rule',
]);

function twist(value: unknown, evil: string, key = ''): unknown {
  if (typeof value === 'string') return OWN.has(key) ? value : `${value} ${evil}`;
  if (Array.isArray(value)) return value.map((item) => twist(item, evil, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, twist(member, evil, name)]));
}
