import { RULES } from '../../policy/rules/rule-set.ts';
import type { Reason, RuleName } from '../../policy/types.ts';
import { counted, countedBySeverity, type ReportView } from '../report-view.ts';
import type { Endorsement } from '../types.ts';
import { type Content, type Markup, markup } from './markup.ts';
import { chip, code, imageLink, outcomeChip, pairs, section } from './parts.ts';

/** The decision, and the one thing to run. */
export function verdictBanner({ report, headline }: ReportView): Markup {
  const { decision, pinned, complete, gaps } = report.verdict;
  const icon = decision === 'allow' ? 'M5 13l5 5L20 7' : 'M6 6l12 12M18 6L6 18';
  return markup`<section class="banner ${decision}" aria-label="Verdict">
<p class="word"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="${icon}" fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round"/></svg>${decision === 'allow' ? 'Allow' : 'Deny'}</p>
<p>${headline}${pinned === undefined ? ' There is nothing to run.' : ''}</p>
${complete ? undefined : markup`<p class="incomplete">Incomplete: ${gaps.length === 0 ? 'something could not be checked' : markup`<a href="#gaps">${counted(gaps.length, 'thing was', 'things were')} not checked</a>`}.</p>`}
${pinned === undefined ? undefined : markup`<div class="run"><span>Run exactly this:</span><pre>${pinned}</pre></div>`}
</section>`;
}

/** The whole report in six numbers. */
export function keyFacts({ report, images }: ReportView): Markup {
  const { rebuild, findings, endorsements, lineage } = report;
  const built = rebuild?.outcomes.filter(({ status }) => status === 'built').length ?? 0;
  const vetted = images.filter(({ role }) => role !== 'frontend').length;
  const compared = Object.values(report.comparisons);
  const unexplained = compared.filter(({ grade }) => grade === 'unexplained').length;
  const refuted = lineage.edges.filter(({ grade }) => grade === 'contradicted').length;
  const doubts = [
    ...(refuted === 0 ? [] : [`${refuted} refuted`]),
    ...(lineage.conflicts.length === 0 ? [] : [counted(lineage.conflicts.length, 'conflict')]),
  ];
  const facts: readonly (readonly [string, string])[] = [
    ['Images in the lineage', String(images.length)],
    ['Claims', doubts.length === 0 ? 'none refuted' : doubts.join(', ')],
    ['Findings', findings.length === 0 ? 'none' : countedBySeverity(findings)],
    ['Rebuilt from source', rebuild === undefined ? 'not run' : `${built} of ${vetted}`],
    [
      'Compared with original',
      compared.length === 0
        ? 'not done'
        : `${compared.length} of ${vetted}${unexplained === 0 ? '' : `, ${unexplained} unexplained`}`,
    ],
    [
      'Signed and read back',
      endorsements.length === 0
        ? 'none'
        : `${endorsements.filter(({ verified }) => verified).length} of ${vetted}`,
    ],
  ];
  return markup`<dl class="facts">${facts.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Why: first what failed, then what passed. */
export function reasonsSection(view: ReportView): Content {
  const { failures, passed, report } = view;
  const { exceptions } = report.verdict;
  return section('reasons', 'Reasons', [
    failures.length === 0
      ? undefined
      : markup`<div class="card long"><ul class="plain rows">${failures.map((reason, index) => reasonRow(reason, view, rationaleOf(reason, failures.slice(0, index))))}</ul></div>`,
    passed.length === 0
      ? undefined
      : markup`<div class="card"><ul class="plain rows">${passed.map((reason) => reasonRow(reason, view))}</ul></div>`,
    exceptions.length === 0
      ? undefined
      : markup`<div class="card"><h3>Exceptions</h3><ul class="plain rows">${exceptions.map(
          ({ id, status, message }) =>
            markup`<li><div>${chip(status.replaceAll('-', ' '), status === 'used' ? 'warn' : 'none')}</div><p>${code(id)} <bdi>${message}</bdi></p></li>`,
        )}</ul></div>`,
  ]);
}

function reasonRow(
  { outcome, rule, code: reasonCode, node, message, remediation, term }: Reason,
  view: ReportView,
  rationale?: string,
): Markup {
  const open = outcome === 'fail' || outcome === 'error';
  return markup`<li><div>${outcomeChip(outcome)}</div><div>
<p>${node === undefined ? undefined : markup`<b>${imageLink(view, node)}</b>: `}<bdi>${message}</bdi></p>
${open && remediation !== undefined ? markup`<p class="fix"><b>What to do:</b> <bdi>${remediation}</bdi></p>` : undefined}
${rationale === undefined ? undefined : markup`<p class="soft">${rationale}</p>`}
<p class="soft">${rule}${reasonCode === rule ? '' : ` · ${reasonCode}`}${open && term !== undefined ? markup` · term ${code(term)}` : undefined}</p></div></li>`;
}

/** Why the rule is asked for, said once: where it first failed. */
function rationaleOf({ rule }: Reason, before: readonly Reason[]): string | undefined {
  if (before.some((reason) => reason.rule === rule)) return undefined;
  // A report from a newer version may name rules this one does not know.
  return Object.hasOwn(RULES, rule) ? RULES[rule as RuleName].rationale : undefined;
}

/** What was not checked. */
export function gapsSection(view: ReportView): Content {
  const { gaps } = view.report.verdict;
  if (gaps.length === 0) return undefined;
  return section(
    'gaps',
    'What was not checked',
    markup`<div class="card long"><ul class="plain rows">${gaps.map(
      ({ stage, code: gapCode, message, node, hint }) => markup`<li><div>${chip(stage, 'warn')}</div><div>
<p>${node === undefined ? undefined : markup`<b>${imageLink(view, node)}</b>: `}<bdi>${message}</bdi></p>
${hint === undefined ? undefined : markup`<p class="fix"><b>What to do:</b> <bdi>${hint}</bdi></p>`}
<p class="soft">${gapCode}</p></div></li>`,
    )}</ul></div>`,
  );
}

/** Who vouches for the rebuilt images. */
export function signatureSection({ report }: ReportView): Content {
  const { endorsements, verdict } = report;
  if (endorsements.length === 0) {
    if (verdict.decision === 'deny') return undefined;
    return section('signature', 'Signature', markup`<p class="card">The rebuilt images were not signed.</p>`);
  }
  return section('signature', 'Signatures', markup`${endorsements.map(signatureCard)}`);
}

function signatureCard({ collection, server, tags, digest, keyIds, expires, verified }: Endorsement): Markup {
  return markup`<div class="card"><p>${verified ? chip('verified', 'good') : chip('not verified', 'bad')} ${verified ? 'The published signature was read back and verified.' : 'The published signature was not read back.'}</p>${pairs(
    [
      ['Trusted collection', code(collection)],
      ['Notary server', code(server)],
      ['Signed tags', tags.map((tag) => markup`${code(tag)} `)],
      ['Digest', code(digest)],
      ['Keys', keyIds.map((id) => markup`${code(id)} `)],
      ['Valid until', expires],
    ],
  )}</div>`;
}
