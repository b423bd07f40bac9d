import { createHash } from 'node:crypto';
import { findingsSection, imagesSection } from './html/image-sections.ts';
import { drawLineage, edgeSample } from './html/lineage-picture.ts';
import { type Markup, markup, Markup as Trusted } from './html/markup.ts';
import { section } from './html/parts.ts';
import { comparisonSection, rebuildSection } from './html/rebuild-sections.ts';
import { STYLES } from './html/styles.ts';
import {
  gapsSection,
  keyFacts,
  reasonsSection,
  signatureSection,
  verdictBanner,
} from './html/verdict-sections.ts';
import { type DivergenceView, type ReportView, viewReport } from './report-view.ts';
import type { VetReport } from './types.ts';

/**
 * Writes a report as one HTML file that needs nothing else: no script, no network, no font. The lineage is a
 * picture, light and dark follow the reader's setting, and it prints. All text is escaped, and the document
 * forbids itself every script and every load.
 */
export function renderHtml(report: VetReport): string {
  const view = viewReport(report);
  return `<!doctype html>\n${markup`<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${CONTENT_SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">
<title>${report.verdict.decision === 'allow' ? 'Allow' : 'Deny'}: ${report.requested}</title>
<style>${new Trusted(STYLES)}</style></head><body>
${header(view)}<main>
${verdictBanner(view)}${keyFacts(view)}${lineageSection(view)}${reasonsSection(view)}${gapsSection(view)}${findingsSection(view)}${imagesSection(view)}${rebuildSection(view)}${comparisonSection(view)}${signatureSection(view)}
</main>${footer(view)}</body></html>`}\n`;
}

const STYLE_HASH = createHash('sha256').update(STYLES).digest('base64');
const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'`;

function header({ report }: ReportView): Markup {
  const { platform, asOf } = report.lineage;
  const shown = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
  return markup`<header><p class="eyebrow">imagevet report</p><h1><bdi>${report.requested}</bdi></h1>
<p class="meta">${shown}${asOf === undefined ? '' : ` · as of ${asOf === 'build' ? 'each build' : asOf}`} · vetted ${report.finishedAt}</p></header>`;
}

function lineageSection(view: ReportView): Markup | undefined {
  if (view.images.length === 0) return undefined;
  const grades = [
    ['proven', 'layers prove it'],
    ['attested', 'signed provenance says so'],
    ['claimed', 'a Dockerfile or description says so'],
    ['contradicted', 'refuted'],
    ['unknown', 'not established'],
  ] as const;
  const legend = grades.map(
    ([grade, words]) => markup`<li>${edgeSample(grade)}<b>${grade}</b> ${words}</li>`,
  );
  return section(
    'lineage',
    'Where it came from',
    markup`<div class="card">${drawLineage(view, 'wide')}${drawLineage(view, 'narrow')}<ul class="legend">${legend}</ul></div>${view.divergences.map(divergenceCard)}`,
  ) as Markup;
}

function divergenceCard({ title, rows }: DivergenceView): Markup {
  const items = rows.map(({ platforms, value }) => markup`<li><b>${platforms}</b> <bdi>${value}</bdi></li>`);
  return markup`<div class="card long"><h3>The ${title}</h3><ul>${items}</ul></div>`;
}

function footer({ report }: ReportView): Markup {
  const { policy, effectiveTime } = report.verdict;
  return markup`<footer><p>Decided for ${effectiveTime} by policy <bdi>${policy.name}</bdi> <code>${policy.digest}</code>.
Vetting began ${report.startedAt} and ended ${report.finishedAt}.</p></footer>`;
}
