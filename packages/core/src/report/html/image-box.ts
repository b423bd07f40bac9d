import { countedBySeverity, type ImageView, rebuildWords } from '../report-view.ts';
import { type Content, markup } from './markup.ts';
import { fit, labelWidth } from './text-width.ts';

/** Space between the edge of a box and what it holds, in pixels. */
export const PADDING = 14;

/** Where a box stands, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** Draws an image as a box: its name, its source and what was found. Says where the box ends, in pixels. */
export function drawImageBox(
  image: ImageView,
  { x, y, width }: Place,
): { readonly parts: readonly Content[]; readonly bottom: number } {
  const inner = width - 2 * PADDING;
  const rows: Content[] = [];
  let line = y + 24;
  for (const name of fit(image.name, inner - 30, 14, 4)) {
    rows.push(markup`<text class="name" x="${x + PADDING + 26}" y="${line}">${name}</text>`);
    line += 18;
  }
  for (const text of sourceLines(image, inner)) {
    rows.push(markup`<text class="small" x="${x + PADDING}" y="${line + 2}">${text}</text>`);
    line += 16;
  }
  const marks = marksOf(image);
  const pills = drawMarks(marks, { x, y: line + 8, width });
  const tones = marks.map(({ tone }) => tone);
  const worst = (['bad', 'warn', 'good'] as const).find((tone) => tones.includes(tone)) ?? '';
  const parts = [
    markup`<a href="#image-${image.number}"><rect class="box ${worst}" x="${x}" y="${y}" width="${width}" height="${pills.bottom - y}" rx="10"/>`,
    markup`<circle class="pill" cx="${x + PADDING + 9}" cy="${y + 20}" r="10"/><text class="badge" x="${x + PADDING + 9}" y="${y + 24}" text-anchor="middle">${image.number}</text>`,
    [...rows, ...pills.parts],
    markup`</a>`,
  ];
  return { parts, bottom: pills.bottom };
}

function sourceLines({ node, role }: ImageView, width: number): readonly string[] {
  const { location } = node.dockerfile;
  if (location === undefined) return role === 'frontend' ? [] : ['no Dockerfile known'];
  const repository = `${location.repository.replace(/^https:\/\//, '')}@${location.commit.slice(0, 12)}`;
  return [...fit(repository, width, 11.5, 3), ...fit(location.path, width, 11.5, 2)];
}

function drawMarks(
  marks: readonly Mark[],
  { x, y, width }: Place,
): { readonly parts: readonly Content[]; readonly bottom: number } {
  const parts: Content[] = [];
  let at = x + PADDING;
  let line = y;
  for (const { text, tone } of marks) {
    const pill = labelWidth(text) + 18;
    if (at > x + PADDING && at + pill > x + width - PADDING) {
      at = x + PADDING;
      line += 24;
    }
    parts.push(
      markup`<rect class="pill ${tone}" x="${at}" y="${line - 7}" width="${pill}" height="20" rx="10"/>`,
      markup`<text class="label ${tone}" x="${at + pill / 2}" y="${line + 7}" text-anchor="middle">${text}</text>`,
    );
    at += pill + 6;
  }
  return { parts, bottom: line + 24 };
}

interface Mark {
  readonly text: string;
  readonly tone: 'good' | 'bad' | 'warn' | 'none';
}

function marksOf(image: ImageView): readonly Mark[] {
  const rebuild = rebuildWords(image);
  const severe = image.findings.some(({ severity }) => severity === 'critical' || severity === 'high');
  const { consistency, status } = image.node.dockerfile;
  return [
    { text: rebuild.text, tone: rebuild.tone === 'unknown' ? 'none' : rebuild.tone },
    ...(image.findings.length === 0
      ? []
      : [{ text: countedBySeverity(image.findings), tone: severe ? 'bad' : 'warn' } as const]),
    ...(status === 'found' || status === 'imported' || image.role === 'frontend'
      ? []
      : [{ text: STATUS_WORDS[status], tone: 'bad' } as const]),
    ...(image.conflicts.length === 0 ? [] : [{ text: 'sources disagree', tone: 'bad' } as const]),
    ...(consistency === 'inconsistent' ? [{ text: 'Dockerfile does not fit', tone: 'bad' } as const] : []),
  ];
}

const STATUS_WORDS = {
  'commit-unreachable': 'commit gone',
  'file-missing': 'Dockerfile missing',
  'host-unreachable': 'source host silent',
  'not-named': 'source unknown',
} as const;
