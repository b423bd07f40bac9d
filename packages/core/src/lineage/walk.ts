import { formatReference, type ResolvedImage } from '@imagevet/registry';
import type { ExternalImage } from '../dockerfile/queries.ts';
import type { Gap } from '../errors.ts';
import { baseConflict } from './base/base-conflict.ts';
import { type BaseTarget, baseTargetOf } from './base/base-target.ts';
import type { ParentSearch } from './base/find-parent.ts';
import { gradeEdge } from './base/grade-edge.ts';
import { idOf } from './base/names.ts';
import { alignNode } from './dockerfile/align-node.ts';
import { frontendOf } from './dockerfile/frontend.ts';
import { triggeredInputs } from './dockerfile/triggered-inputs.ts';
import type { NodeReader } from './node/node-reader.ts';
import type { NodeReading } from './node/read-node.ts';
import type { ShownSubject } from './node/show-image.ts';
import { limitsOf, type ResolveLineageOptions } from './options.ts';
import type { LineageConflict, LineageEdge, LineageNode } from './types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The walk from one image down everything it is built on and with: base before inputs, inputs in the order of the Dockerfile.
 * It goes through what a {@link NodeReader} reads in this one order, so that a lineage is the same however fast answers come.
 */
export class Walk {
  readonly nodes: Mutable<LineageNode>[] = [];
  readonly edges: LineageEdge[] = [];
  readonly conflicts: LineageConflict[] = [];
  readonly gaps: Gap[] = [];
  readonly #known = new Map<string, LineageNode>();
  /** Ids of the images between the one asked about and the one being visited. */
  readonly #path = new Set<string>();
  readonly #reader: NodeReader;
  readonly #options: ResolveLineageOptions;

  constructor(reader: NodeReader, options: ResolveLineageOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  /** Adds an image and everything below it. */
  async visit(subject: ShownSubject): Promise<LineageNode> {
    const known = this.#known.get(subject.id);
    if (known !== undefined) return known;
    const reading = await this.#reader.read(subject, this.#path.size + 1);
    const { claims, failure, image, record, asOf, buildTimeDoubt } = reading;
    const { facts, gaps } = await reading.check;
    if (failure !== undefined && subject.isRoot && claims.length === 0) {
      if (failure.code !== 'UNREACHABLE' && failure.code !== 'TIMEOUT') throw failure;
    }
    this.gaps.push(...reading.gaps, ...gaps, ...reading.parseGaps);
    this.conflicts.push(...reading.conflicts);
    const node: Mutable<LineageNode> = {
      ...{ id: subject.id, reference: subject.reference, platform: subject.platform },
      ...(image === undefined ? {} : { image }),
      claims,
      dockerfile: { ...record, ...facts },
      ...(asOf === undefined ? {} : { asOf: asOf.toISOString() }),
      ...(buildTimeDoubt === undefined ? {} : { buildTimeDoubt }),
    };
    this.nodes.push(node);
    this.#known.set(node.id, node);
    this.#path.add(node.id);
    const parent = await this.#addBase(node, reading);
    alignNode(node, reading.dockerfile, parent);
    if (record.kind === 'image-label' && node.dockerfile.consistency === 'unchecked') {
      const message =
        'its Dockerfile is named by its labels alone, which may be those of its base: its history does not say';
      this.gaps.push({ stage: 'provenance', code: 'LABEL_UNPROVEN', message, node: node.id });
    }
    for (const input of reading.inputs) {
      if (input.kind !== 'base') await this.#addInput(node, reading, input);
    }
    this.#addFrontend(node, reading);
    this.#path.delete(node.id);
    return node;
  }

  /** @returns the base's image, when it is proven to be the base */
  async #addBase(node: Mutable<LineageNode>, reading: NodeReading): Promise<ResolvedImage | undefined> {
    const target = baseTargetOf(reading);
    if (target.kind === 'scratch' || target.kind === 'rootfs-import') {
      this.conflicts.push(...baseConflict(node.id, reading, target));
      node.end = target.kind;
      return undefined;
    }
    if (target.kind === 'unresolved') {
      return this.#end(node, 'unresolved', 'BASE_UNRESOLVED', target.reason, target.line);
    }
    const { text, line } = target;
    const id = idOf(target.named, target.platform ?? node.platform);
    const isAbove = this.#path.has(id);
    const earlier = isAbove ? await this.#reader.earlier(reading, target) : undefined;
    if (isAbove && earlier === undefined) {
      if (id !== node.id) {
        return this.#end(node, 'cycle', 'LINEAGE_CYCLE', `its base ${text} is built on it`, line);
      }
      const reason = `its base ${text} is an earlier image of its own name, and nothing says which`;
      return this.#end(node, 'unresolved', 'BASE_EARLIER_VERSION', reason, line);
    }
    const limit = this.#limit();
    if (limit !== undefined) {
      const reason = `its base ${text} was not followed: ${limit}`;
      return this.#end(node, 'depth-limit', 'LINEAGE_LIMIT', reason, line);
    }
    const subject = earlier ?? (await this.#reader.base(reading, target));
    const parent = await this.visit(subject);
    const own = await this.#ownBase(node, target, subject, parent);
    const { moved, tried, failure, ...found } = await this.#reader.search(reading, target);
    const named = [...found.named, ...(await this.#reader.otherNames(reading, target))];
    if (failure !== undefined) {
      const message = `what ${text} was could not be looked up: ${failure.message}`;
      this.gaps.push({ stage: 'lineage', code: failure.code, message, node: node.id });
    }
    const digests = digestsOf(own.image, named);
    this.#settle(node.id, digests);
    this.conflicts.push(...baseConflict(node.id, reading, target, { parent: own.image, named }));
    const at = line === undefined ? {} : { line };
    const { grade, evidence } = gradeEdge({
      ...(node.image === undefined ? {} : { child: node.image }),
      ...(own.image === undefined ? {} : { parent: own.image }),
      ...(own.foreign === undefined ? {} : { foreign: own.foreign }),
      ...(node.dockerfile.url === undefined ? {} : { dockerfileUrl: node.dockerfile.url }),
      ...(moved === undefined ? {} : { moved }),
      ...(tried === undefined ? {} : { tried }),
      ...{ ...at, claims: target.agreeing, named },
      parentPinned: target.pinned !== undefined && digests.has(target.pinned),
    });
    this.edges.push({ kind: 'base', from: node.id, to: parent.id, name: text, ...at, grade, evidence });
    this.#options.onProgress?.({ type: 'edge-graded', from: node.id, to: parent.id, grade });
    const base = own.image === undefined ? parent : { ...parent, image: own.image };
    await this.#addTriggered(node, reading, base, { kind: 'base', line: line ?? 1, text });
    return grade === 'proven' ? own.image : undefined;
  }

  /**
   * The image a node is held against: that of its base, or where the digest it was built on is another than the lineage holds
   * under that name, the one of that digest.
   */
  async #ownBase(
    node: LineageNode,
    { text }: BaseTarget & { kind: 'image' },
    subject: ShownSubject,
    parent: LineageNode,
  ): Promise<Pick<NodeReading, 'image' | 'foreign'>> {
    const { pinned } = subject;
    const held = [parent.image?.manifest.digest, parent.image?.index?.digest];
    if (pinned === undefined || held.includes(pinned)) return parent;
    const { image, foreign } = await this.#reader.read(subject, this.#path.size + 1);
    if (image?.manifest.digest !== parent.image?.manifest.digest) {
      const message = `its base ${text} was ${pinned}; the lineage follows ${held[0] ?? 'no image'} of that name, which another of its images is built on`;
      this.gaps.push({ stage: 'lineage', code: 'BASE_NOT_FOLLOWED', message, node: node.id });
    }
    return { ...(image === undefined ? {} : { image }), ...(foreign === undefined ? {} : { foreign }) };
  }

  /** An index and the manifest in it are one image: who names the one and who names the other do not disagree. */
  #settle(node: string, digests: ReadonlySet<string>): void {
    const at = this.conflicts.findIndex(
      (conflict) =>
        conflict.node === node &&
        conflict.about === 'base' &&
        conflict.statements.every(({ value }) => digests.has(value)),
    );
    if (at >= 0) this.conflicts.splice(at, 1);
  }

  /** The limit that lets no other image in below the one being visited. */
  #limit(): string | undefined {
    const { maxDepth, maxImages } = limitsOf(this.#options);
    if (this.#path.size >= maxDepth)
      return `the lineage is ${maxDepth} images deep, which is the limit (maxDepth)`;
    if (this.nodes.length < maxImages) return undefined;
    return `the lineage has ${maxImages} images, which is the limit (maxImages)`;
  }

  async #addInput(
    node: LineageNode,
    reading: NodeReading,
    { kind, name, line, platform }: ExternalImage,
    trigger?: string,
  ): Promise<void> {
    if (name.kind === 'scratch') return;
    const who = trigger === undefined ? `line ${line}` : `an ONBUILD trigger of ${trigger}`;
    if (name.kind === 'unresolved') {
      const message = `${who} takes files from ${name.text}, which cannot be known: ${name.reason}`;
      this.gaps.push({ stage: 'lineage', code: 'INPUT_UNRESOLVED', message, node: node.id });
      return;
    }
    const subject = this.#reader.input(reading, name.reference, platform);
    // An image may take files from a descendant of itself (another tag of a builder image): an edge, not a cycle of bases.
    const isAbove = this.#path.has(subject.id);
    const limit = this.#limit();
    if (limit !== undefined && !isAbove) {
      const message = `${who} takes files from ${name.text}, which was not followed: ${limit}`;
      this.gaps.push({ stage: 'lineage', code: 'LINEAGE_LIMIT', message, node: node.id });
      return;
    }
    const input = isAbove ? undefined : await this.visit(subject);
    const message = trigger === undefined ? `the Dockerfile names it in line ${line}` : `${who} names it`;
    this.edges.push({
      ...{ kind, from: node.id, to: subject.id, name: name.text, line, grade: 'claimed' },
      evidence: [{ kind: 'dockerfile', verdict: 'supports', message }],
    });
    if (kind !== 'stage' || input === undefined) return;
    await this.#addTriggered(node, reading, input, { kind, line, text: name.text });
  }

  /** What the triggers of an image bring into the stage that is built on it. */
  async #addTriggered(
    node: LineageNode,
    reading: NodeReading,
    base: LineageNode,
    { text, ...from }: Pick<ExternalImage, 'kind' | 'line'> & { readonly text: string },
  ): Promise<void> {
    const { inputs, unreadable } = triggeredInputs(base, reading.dockerfile, from);
    for (const reason of unreadable) {
      const message = `an ONBUILD trigger of its base ${text} cannot be read: ${reason}`;
      this.gaps.push({ stage: 'lineage', code: 'TRIGGER_UNREADABLE', message, node: node.id });
    }
    for (const input of inputs) await this.#addInput(node, reading, input, text);
  }

  #addFrontend(node: LineageNode, { dockerfile }: NodeReading): void {
    if (dockerfile?.syntax === undefined) return;
    const { gap, frontend, edge } = frontendOf(node, dockerfile.syntax);
    if (gap !== undefined) this.gaps.push(gap);
    if (frontend === undefined) return;
    this.edges.push(edge);
    if (this.#known.has(frontend.id)) return;
    this.nodes.push(frontend);
    this.#known.set(frontend.id, frontend);
  }

  #end(
    node: Mutable<LineageNode>,
    end: NonNullable<LineageNode['end']>,
    code: string,
    reason: string,
    line?: number,
  ): undefined {
    node.end = end;
    const where = line === undefined ? '' : ` (line ${line})`;
    this.gaps.push({
      stage: 'lineage',
      code,
      message: `${formatReference(node.reference)}: ${reason}${where}`,
      node: node.id,
    });
  }
}

/** The digests that are known to stand for an image. */
function digestsOf(image: ResolvedImage | undefined, named: ParentSearch['named']): ReadonlySet<string> {
  if (image === undefined) return new Set();
  const { index, manifest } = image;
  const same = named.flatMap(({ claim: { base }, image: other }) =>
    base?.digest !== undefined && other?.manifest.digest === manifest.digest ? [base.digest] : [],
  );
  return new Set([manifest.digest, ...(index === undefined ? [] : [index.digest]), ...same]);
}
