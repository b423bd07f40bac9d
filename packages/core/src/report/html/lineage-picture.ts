import type { EdgeGrade, EdgeKind, LineageEdge } from '../../lineage/types.ts';
import { EDGE_WORDS, type ImageView, type ReportView } from '../report-view.ts';
import { drawImageBox, PADDING } from './image-box.ts';
import { type Content, type Markup, markup } from './markup.ts';
import { fit, labelWidth } from './text-width.ts';

/** Which of the two drawings: side inputs in a column of their own, or below the image that uses them. */
export type PictureShape = 'wide' | 'narrow';

/**
 * Draws the lineage: a box for each image, from the one asked about down to scratch, the grade of each edge as
 * line, colour and word, side inputs beside the image that uses them.
 */
export function drawLineage(view: ReportView, shape: PictureShape): Markup {
  const picture = new Picture(view, shape);
  const height = picture.draw();
  const { width } = picture;
  const bases = view.images.filter(({ role }) => role === undefined || role === 'base').length;
  const label = `Lineage of ${view.report.requested}: ${bases} images in a row, each built on the next; ${view.images.length} in all. Every image links to its section below.`;
  return markup`<svg class="picture ${shape}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="group" aria-label="${label}">${picture.parts}</svg>`;
}

/** A sample of an edge's line, for the legend. */
export function edgeSample(grade: EdgeGrade): Markup {
  return markup`<svg viewBox="0 0 36 12" aria-hidden="true"><path class="edge ${grade}" d="M0 6H36"/></svg>`;
}

/** The colour that goes with a grade. */
export function gradeTone(grade: EdgeGrade): 'good' | 'warn' | 'bad' | 'none' {
  if (grade === 'proven' || grade === 'attested') return 'good';
  if (grade === 'claimed') return 'warn';
  return grade === 'contradicted' ? 'bad' : 'none';
}

const GEOMETRY = {
  wide: { width: 960, box: 520, indent: 32 },
  narrow: { width: 360, box: 358, indent: 24 },
} as const;
/** Left edge of the column of side inputs in the wide drawing. */
const SIDE_COLUMN = 580;
/** Where an edge leaves a box, from its left. */
const STEM = 22;
const MAX_INDENT = 3;
/** Side inputs of one image that get a line of their own beside the box. */
const MAX_LANES = 5;

class Picture {
  readonly parts: Content[] = [];
  readonly width: number;
  readonly #view: ReportView;
  readonly #shape: PictureShape;
  readonly #drawn = new Set<string>();
  readonly #box: number;
  readonly #indent: number;
  #sideEnd = 0;

  constructor(view: ReportView, shape: PictureShape) {
    const sides = view.images.some(({ parents }) => parents.some(({ kind }) => kind !== 'base'));
    const { width, box, indent } = GEOMETRY[shape];
    this.width = shape === 'wide' && !sides ? 640 : width;
    this.#box = shape === 'wide' && !sides ? 638 : box;
    this.#indent = indent;
    this.#view = view;
    this.#shape = shape;
  }

  draw(): number {
    const [first] = this.#view.images;
    return first === undefined ? 1 : this.#tree(first, 1, 1, this.#box, 0) + 1;
  }

  /** Draws an image, what it uses and what it is built on; returns where the drawing ends. */
  #tree(image: ImageView, x: number, y: number, width: number, depth: number): number {
    this.#drawn.add(image.node.id);
    const { parts, bottom } = drawImageBox(image, { x, y, width });
    this.parts.push(...parts);
    const sides = image.parents.filter(({ kind }) => kind !== 'base');
    const bases = image.parents.filter(({ kind }) => kind === 'base');
    const beside = this.#shape === 'wide' && depth === 0;
    let end = beside ? this.#beside(sides, x + width, y) : this.#below(sides, x, bottom, width, depth);
    let from = bottom;
    for (const edge of bases) {
      const top = beside ? from + 54 : Math.max(from + 54, end + 50);
      this.#down(edge, x + STEM, from, top);
      const base = this.#target(edge, x, top, width, depth);
      end = Math.max(end, base);
      from = base;
    }
    if (bases.length === 0 && (image.role !== 'frontend' || image.node.end !== undefined))
      return Math.max(end, this.#end(image, x, beside ? bottom : end, width));
    return end;
  }

  /** The image an edge leads to, or a pointer to where it was drawn before. */
  #target(edge: LineageEdge, x: number, y: number, width: number, depth: number): number {
    const image = this.#view.image(edge.to);
    if (image !== undefined && !this.#drawn.has(edge.to)) return this.#tree(image, x, y, width, depth);
    const text =
      image === undefined ? `${edge.name} (not in the lineage)` : `${image.name} (number ${image.number})`;
    return this.#stub(text, x, y, width, image === undefined ? 'bad' : '');
  }

  /** Side inputs in their own column; each is linked from the right edge of the box. */
  #beside(sides: readonly LineageEdge[], right: number, top: number): number {
    let y = Math.max(top, this.#sideEnd);
    for (const [index, edge] of sides.entries()) {
      const label = y;
      const boxTop = label + 24;
      // The line that goes furthest down starts lowest and keeps left, so that no two cross.
      const lane = Math.max(0, Math.min(sides.length, MAX_LANES) - 1 - index);
      const start = top + 18 + Math.min(index, MAX_LANES) * 9;
      const trunk = right + 10 + lane * 8;
      this.parts.push(
        markup`<path class="edge ${edge.grade}" d="M${right} ${start}H${trunk}V${boxTop + 24}H${SIDE_COLUMN}"/>`,
      );
      this.#label(edge, SIDE_COLUMN, label + 14, this.width - SIDE_COLUMN);
      y = this.#target(edge, SIDE_COLUMN, boxTop, this.width - SIDE_COLUMN - 2, 1) + 22;
      this.#sideEnd = y;
    }
    return sides.length === 0 ? top : y - 22;
  }

  /** Side inputs below the box, indented, hanging from a line of their own. */
  #below(sides: readonly LineageEdge[], x: number, bottom: number, width: number, depth: number): number {
    const indent = depth < MAX_INDENT ? this.#indent + 18 : 0;
    let y = bottom;
    let trunk = bottom;
    for (const edge of sides) {
      const label = y + 12;
      const boxTop = label + 22;
      const stem = x + STEM + (indent === 0 ? 0 : 10);
      this.parts.push(
        markup`<path class="edge" d="M${stem} ${trunk}V${boxTop + 24}"/>`,
        markup`<path class="edge ${edge.grade}" d="M${stem} ${boxTop + 24}H${x + Math.max(indent, STEM)}"/>`,
      );
      this.#label(edge, x + indent + 2, label + 13, width - indent);
      const end = this.#target(edge, x + indent, boxTop, width - indent, depth + 1);
      trunk = boxTop + 24;
      y = end;
    }
    return y;
  }

  #down(edge: LineageEdge, x: number, from: number, to: number): void {
    this.parts.push(
      markup`<path class="edge ${edge.grade}" d="M${x} ${from}V${to - 9}"/><path class="arrow ${edge.grade}" d="M${x - 6} ${to - 10}h12l-6 10z"/>`,
    );
    this.#label(edge, x + 14, to - 22, this.#box);
  }

  /** `built on php:7.2-apache` would repeat the box below; the kind and the grade suffice. */
  #label(edge: LineageEdge, x: number, y: number, width: number): void {
    const kind = EDGE_WORDS[edge.kind as EdgeKind];
    const words = edge.line === undefined ? kind : `${kind} (line ${edge.line})`;
    const tone = gradeTone(edge.grade);
    const pill = labelWidth(edge.grade) + 16;
    this.parts.push(
      markup`<rect class="pill ${tone}" x="${x}" y="${y - 13}" width="${pill}" height="18" rx="9"/>`,
      markup`<text class="label ${tone}" x="${x + pill / 2}" y="${y}" text-anchor="middle">${edge.grade}</text>`,
      markup`<text class="label none" x="${x + pill + 6}" y="${y}">${fit(words, width - pill - 10, 12)[0]}</text>`,
    );
  }

  #end({ node }: ImageView, x: number, from: number, width: number): number {
    const { end } = node;
    const isGround = end === 'scratch' || end === 'rootfs-import';
    const tone = isGround ? '' : 'bad';
    const edge = isGround ? '' : 'unknown';
    const stem = x + STEM;
    const to = from + 34;
    this.parts.push(
      markup`<path class="edge ${edge}" d="M${stem} ${from}V${to - 9}"/><path class="arrow ${edge}" d="M${stem - 6} ${to - 10}h12l-6 10z"/>`,
    );
    return this.#stub(END_WORDS[end ?? 'open'], x, to, Math.min(width, 300), tone);
  }

  #stub(text: string, x: number, y: number, width: number, tone: string): number {
    const lines = fit(text, width - 2 * PADDING, 13, 3);
    const height = lines.length * 18 + 16;
    this.parts.push(
      markup`<rect class="end ${tone}" x="${x}" y="${y}" width="${width}" height="${height}" rx="10"/>`,
      lines.map(
        (line, index) =>
          markup`<text class="${tone}" x="${x + PADDING}" y="${y + 22 + index * 18}">${line}</text>`,
      ),
    );
    return y + height;
  }
}

const END_WORDS = {
  scratch: 'scratch: nothing below',
  'rootfs-import': 'a root filesystem, imported',
  unresolved: 'base not resolved',
  cycle: 'leads back to itself',
  'depth-limit': 'not followed further',
  open: 'base unknown',
} as const;
