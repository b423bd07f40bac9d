import type { ResolvedImage } from '@imagevet/registry';
import type { ExternalImage } from '../dockerfile/queries.ts';
import { baseConflict } from './base/base-conflict.ts';
import { baseEdge, parentEvidence } from './base/base-edge.ts';
import { type BaseTarget, baseTargetOf } from './base/base-target.ts';
import { idOf } from './base/names.ts';
import { ownBase } from './base/own-base.ts';
import { alignNode } from './dockerfile/align-node.ts';
import { isKnown } from './dockerfile/listed.ts';
import { triggeredInputs } from './dockerfile/triggered-inputs.ts';
import type { DraftNode, LineageDraft } from './draft.ts';
import { nodeOf } from './node/node-of.ts';
import type { NodeReader } from './node/node-reader.ts';
import type { NodeReading } from './node/read-node.ts';
import { IMAGE_TIME_UNKNOWN, type ShownSubject } from './node/show-image.ts';
import { limitsOf, type ResolveLineageOptions } from './options.ts';
import type { LineageNode } from './types.ts';

/** What is left when the labels alone name a Dockerfile that nothing was held against. */
const LABEL_UNPROVEN =
  'its Dockerfile is named by its labels alone, which may be those of its base: its history does not say';

/**
 * The walk from one image down everything it is built on and with: base before inputs, inputs in the order of the Dockerfile.
 * It goes through what a {@link NodeReader} reads in this one order, so that a lineage is the same however fast answers come.
 */
export class Walk {
  /** Ids of the images between the one asked about and the one being visited. */
  readonly #path = new Set<string>();
  readonly #draft: LineageDraft;
  readonly #reader: NodeReader;
  readonly #options: ResolveLineageOptions;

  constructor(draft: LineageDraft, reader: NodeReader, options: ResolveLineageOptions) {
    this.#draft = draft;
    this.#reader = reader;
    this.#options = options;
  }

  /** Adds an image and everything below it. */
  async visit(subject: ShownSubject): Promise<LineageNode> {
    const known = this.#draft.node(subject.id);
    if (known !== undefined) return known;
    const reading = await this.#reader.read(subject, this.#path.size + 1);
    const check = await reading.check;
    const { claims, failure, record } = reading;
    if (failure !== undefined && subject.isRoot && !isKnown(claims)) {
      if (failure.code !== 'UNREACHABLE' && failure.code !== 'TIMEOUT') throw failure;
    }
    this.#draft.gaps.push(...reading.gaps, ...check.gaps, ...reading.parseGaps);
    this.#draft.conflicts.push(...reading.conflicts);
    const node = nodeOf(reading, check);
    this.#draft.addNode(node);
    this.#path.add(node.id);
    const proven = await this.#addBase(node, reading);
    alignNode(node, reading.dockerfile, proven);
    if (record.kind === 'image-label' && node.dockerfile.consistency === 'unchecked') {
      this.#draft.gap(node, 'LABEL_UNPROVEN', LABEL_UNPROVEN, 'provenance');
    }
    for (const input of reading.inputs) {
      if (input.kind !== 'base') await this.#addInput(node, reading, input);
    }
    this.#draft.addFrontend(node, reading.dockerfile);
    this.#path.delete(node.id);
    return node;
  }

  /** @returns the base's image, when it is proven to be the base */
  async #addBase(node: DraftNode, reading: NodeReading): Promise<ResolvedImage | undefined> {
    const target = baseTargetOf(reading);
    if (target.kind === 'scratch' || target.kind === 'rootfs-import') {
      this.#draft.conflicts.push(...baseConflict(node.id, reading, target));
      node.end = target.kind;
      return undefined;
    }
    if (target.kind === 'unresolved') {
      this.#draft.end(node, 'unresolved', 'BASE_UNRESOLVED', target);
      return undefined;
    }
    const subject = await this.#follow(node, reading, target);
    if (subject === undefined) return undefined;
    const parent = await this.visit(subject);
    return this.#gradeBase(node, reading, target, { subject, parent });
  }

  /** The base as it is to be visited; undefined when the path ends here. */
  async #follow(
    node: DraftNode,
    reading: NodeReading,
    target: BaseTarget & { kind: 'image' },
  ): Promise<ShownSubject | undefined> {
    const { text, named, line, platform = node.platform } = target;
    const at = line === undefined ? {} : { line };
    const id = idOf(named, platform);
    const isAbove = this.#path.has(id);
    const earlier = isAbove ? await this.#reader.earlier(reading, target) : undefined;
    if (isAbove && earlier === undefined) {
      if (id === node.id) {
        const reason = `its base ${text} is an earlier image of its own name, and nothing says which`;
        this.#draft.end(node, 'unresolved', 'BASE_EARLIER_VERSION', { reason, ...at });
      } else {
        this.#draft.end(node, 'cycle', 'LINEAGE_CYCLE', { reason: `its base ${text} is built on it`, ...at });
      }
      return undefined;
    }
    const limit = this.#limit();
    if (limit !== undefined) {
      const reason = `its base ${text} was not followed: ${limit}`;
      this.#draft.end(node, 'depth-limit', 'LINEAGE_LIMIT', { reason, ...at });
      return undefined;
    }
    return earlier ?? this.#reader.base(reading, target);
  }

  /** @returns the base's image, when it is proven to be the base */
  async #gradeBase(
    node: DraftNode,
    reading: NodeReading,
    target: BaseTarget & { kind: 'image' },
    { subject, parent }: { readonly subject: ShownSubject; readonly parent: LineageNode },
  ): Promise<ResolvedImage | undefined> {
    const { text, line } = target;
    const read = (pinned: ShownSubject) => this.#reader.read(pinned, this.#path.size + 1);
    const { notFollowed, ...own } = await ownBase(target, subject, parent, read);
    if (notFollowed !== undefined) this.#draft.gap(node, 'BASE_NOT_FOLLOWED', notFollowed);
    const found = await this.#reader.search(reading, target);
    const search = { ...found, named: [...found.named, ...(await this.#reader.otherNames(reading, target))] };
    if (search.failure !== undefined) {
      const { code, message } = search.failure;
      this.#draft.gap(node, code, `what ${text} was could not be looked up: ${message}`);
    }
    const { edge, conflicts, digests } = baseEdge(node, reading, target, { to: parent, own, search });
    this.#draft.settle(node, digests);
    this.#draft.conflicts.push(...conflicts);
    this.#draft.edges.push(edge);
    const { from, to, grade } = edge;
    if (grade === 'proven') this.#draft.settleGap(to, IMAGE_TIME_UNKNOWN);
    this.#options.onProgress?.({ type: 'edge-graded', from, to, grade });
    const held = own.image === undefined ? parent : { ...parent, image: own.image };
    await this.#addTriggered(node, reading, held, { kind: 'base', line: line ?? 1, text });
    return grade === 'proven' ? own.image : undefined;
  }

  /** The limit that lets no other image in below the one being visited. */
  #limit(): string | undefined {
    const { maxDepth, maxImages } = limitsOf(this.#options);
    if (this.#path.size >= maxDepth)
      return `the lineage is ${maxDepth} images deep, which is the limit (maxDepth)`;
    if (this.#draft.nodes.length < maxImages) return undefined;
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
    const takes = `${who} takes files from ${name.text}`;
    if (name.kind === 'unresolved') {
      return this.#draft.gap(node, 'INPUT_UNRESOLVED', `${takes}, which cannot be known: ${name.reason}`);
    }
    const subject = this.#reader.input(reading, name.reference, platform);
    // An image may take files from a descendant of itself (another tag of a builder image): an edge, not a cycle of bases.
    const isAbove = this.#path.has(subject.id);
    const limit = isAbove ? undefined : this.#limit();
    if (limit !== undefined) {
      return this.#draft.gap(node, 'LINEAGE_LIMIT', `${takes}, which was not followed: ${limit}`);
    }
    const input = isAbove ? undefined : await this.visit(subject);
    const message = trigger === undefined ? `the Dockerfile names it in line ${line}` : `${who} names it`;
    this.#draft.edges.push({
      ...{ kind, from: node.id, to: subject.id, name: name.text, line, grade: 'claimed' },
      evidence: [{ kind: 'dockerfile', verdict: 'supports', message }, ...parentEvidence(input)],
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
      this.#draft.gap(node, 'TRIGGER_UNREADABLE', message);
    }
    for (const input of inputs) await this.#addInput(node, reading, input, text);
  }
}
