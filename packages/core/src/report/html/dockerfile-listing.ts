import type { Finding } from '../../audit/types.ts';
import type { ImageView } from '../report-view.ts';
import { type Content, type Markup, markup } from './markup.ts';

/** Most lines of one Dockerfile shown; the longest official ones have a few hundred. */
export const MAX_LISTED_LINES = 2_000;

/** An image's Dockerfile with line numbers; what findings are about is marked, and said below the line. */
export function dockerfileListing({ node, findings }: ImageView): Markup {
  const { text = '', inconsistency } = node.dockerfile;
  const lines = text.replace(/\r\n?/g, '\n').replace(/\n$/, '').split('\n');
  const shown = lines.slice(0, MAX_LISTED_LINES);
  const notes = Map.groupBy(findings, ({ lines: at }) => Math.min(at?.endLine ?? 0, shown.length));
  return markup`<ol class="listing code plain" aria-label="Dockerfile">${shown.map((line, index) => {
    const number = index + 1;
    const hits = findings.filter(
      ({ lines: at }) => at !== undefined && at.startLine <= number && number <= at.endLine,
    );
    const odd = inconsistency?.line === number;
    const hit = hits.length === 0 && !odd ? '' : severe(hits) || odd ? 'hit bad' : 'hit';
    return [
      listingLine(number, line, hit),
      (notes.get(number) ?? []).map(note),
      odd ? markup`<li class="note">does not fit the image: ${inconsistency?.message}</li>` : undefined,
    ];
  })}${lines.length > shown.length ? markup`<li class="note warn">${lines.length - shown.length} more lines are not shown</li>` : undefined}</ol>`;
}

/** The lines a finding is about, as quoted in it. */
export function excerptListing(finding: Finding): Content {
  const { excerpt, lines } = finding;
  if (excerpt === undefined) return undefined;
  const hit = severe([finding]) ? 'hit bad' : 'hit';
  return markup`<ol class="listing code plain" aria-label="Excerpt">${excerpt
    .replace(/\r\n?/g, '\n')
    .replace(/\n$/, '')
    .split('\n')
    .map((line, index) =>
      listingLine(lines === undefined ? undefined : lines.startLine + index, line, hit),
    )}</ol>`;
}

function listingLine(number: number | undefined, line: string, hit: string): Markup {
  return markup`<li class="${hit}"><span>${number}</span><bdi>${line === '' ? ' ' : line}</bdi></li>`;
}

function note(finding: Finding): Markup {
  return markup`<li class="note ${severe([finding]) ? '' : 'warn'}">${finding.rule} ${finding.severity}: ${finding.title}</li>`;
}

function severe(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity === 'critical' || severity === 'high');
}
