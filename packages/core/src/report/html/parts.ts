import type { Severity } from '../../audit/types.ts';
import type { ComparisonGrade } from '../../compare/types.ts';
import type { Reason } from '../../policy/types.ts';
import type { ReportView } from '../report-view.ts';
import { type Content, type Markup, markup } from './markup.ts';

type Tone = 'good' | 'bad' | 'warn' | 'info' | 'none';

/** A short word on a coloured ground; the word carries the meaning, the colour repeats it. */
export function chip(text: string, tone: Tone): Markup {
  return markup`<span class="chip ${tone}">${text}</span>`;
}

export function severityChip(severity: Severity): Markup {
  const tone = { critical: 'bad', high: 'bad', medium: 'warn', low: 'info', info: 'none' } as const;
  return chip(severity, tone[severity]);
}

export function outcomeChip(outcome: Reason['outcome']): Markup {
  const tone = { pass: 'good', fail: 'bad', error: 'bad', waived: 'warn' } as const;
  return chip(outcome === 'error' ? 'not checked' : outcome, tone[outcome]);
}

export function comparisonChip(grade: ComparisonGrade): Markup {
  return chip(grade.replace('-', ' '), grade === 'unexplained' ? 'bad' : 'good');
}

/** An image of the lineage by name, linked to its section. */
export function imageLink(view: ReportView, id: string): Content {
  const image = view.image(id);
  return image === undefined
    ? markup`<bdi>${id}</bdi>`
    : markup`<a href="#image-${image.number}"><bdi>${image.name}</bdi></a>`;
}

export function code(text: string): Markup {
  return markup`<code><bdi>${text}</bdi></code>`;
}

/** Name and value, where there is a value. */
export function pairs(list: readonly (readonly [string, Content])[]): Markup {
  return markup`<dl class="pairs">${list
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** A table that becomes a list where the page is narrow. Rows name their cells by `data-label`. */
export function table(columns: readonly string[], rows: readonly Markup[]): Markup {
  const head = columns.map((column) => markup`<th scope="col">${column}</th>`);
  return markup`<div class="scroll"><table class="stack"><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** A section with a heading; nothing without content. */
export function section(id: string, title: string, content: Content): Content {
  if (content === undefined) return undefined;
  return markup`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${content}</section>`;
}

/** `41 s`, `2 min 5 s`, `0.8 s`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
