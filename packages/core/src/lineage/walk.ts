import {
  formatReference,
  type ImageReference,
  ImagevetError,
  type Platform,
  parseReference,
  type ResolvedImage,
  withDefaultTag,
} from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { type ExternalImage, externalImages, usedParameters } from '../dockerfile/queries.ts';
import type { Dockerfile } from '../dockerfile/types.ts';
import type { Gap } from '../errors.ts';
import { collectClaims, findConflicts } from './claims.ts';
import { findOwnDockerfile } from './find-dockerfile.ts';
import { findParent, type ParentSearch } from './find-parent.ts';
import { gradeEdge } from './grade-edge.ts';
import { alignHistory } from './history/align-history.ts';
import { baseFromClaims, idOf, names } from './names.ts';
import { limitsOf, type ResolveLineageOptions } from './options.ts';
import { provePrefix } from './prove-prefix.ts';
import { showImage } from './show-image.ts';
import type {
  DockerfileRecord,
  LineageConflict,
  LineageEdge,
  LineageNode,
  ProvenanceClaim,
} from './types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The walk from one image down everything it is built on; collects what it finds. */
export class Walk {
  readonly nodes: Mutable<LineageNode>[] = [];
  readonly #known = new Map<string, LineageNode>();
  readonly edges: LineageEdge[] = [];
  readonly conflicts: LineageConflict[] = [];
  readonly gaps: Gap[] = [];
  readonly #options: ResolveLineageOptions;
  readonly #platform: Platform;

  constructor(options: ResolveLineageOptions, platform: Platform) {
    this.#options = options;
    this.#platform = platform;
  }

  /** Adds an image and everything below it. `path` holds the ids of its descendants on the way here. */
  async visit(
    reference: ImageReference,
    path: readonly string[],
    pinned: ImageReference['digest'],
  ): Promise<LineageNode> {
    const id = idOf(reference, this.#platform);
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    this.#options.onProgress?.({ type: 'image-resolving', node: id, depth: path.length });
    const subject = { id, pinned, isRoot: path.length === 0, platform: this.#platform };
    const shown = await showImage(reference, subject, this.#options);
    this.gaps.push(...shown.gaps);
    const own = shown.image === undefined ? {} : { image: shown.image };
    const { claims, gaps } = await collectClaims(
      this.#options.sources,
      {
        reference,
        platform: this.#platform,
        ...own,
        ...(this.#options.asOf === undefined ? {} : { asOf: this.#options.asOf }),
      },
      id,
      this.#options,
    );
    this.gaps.push(...gaps);
    if (shown.failure !== undefined) {
      const unreachable = shown.failure.code === 'UNREACHABLE' || shown.failure.code === 'TIMEOUT';
      if (path.length === 0 && claims.length === 0 && !unreachable) throw shown.failure;
    }
    this.conflicts.push(...findConflicts(id, claims));
    const { record, gaps: missing } = await findOwnDockerfile(
      claims,
      this.#options.host,
      { node: id, ...own },
      this.#options,
    );
    this.gaps.push(...missing);
    this.#options.onProgress?.({
      type: 'dockerfile-fetched',
      node: id,
      status: record.status,
      ...(record.url === undefined ? {} : { url: record.url }),
    });
    const node: Mutable<LineageNode> = {
      id,
      reference,
      platform: this.#platform,
      ...own,
      claims,
      dockerfile: record,
    };
    this.nodes.push(node);
    this.#known.set(id, node);
    await this.#descend(node, claims, [...path, id]);
    return node;
  }

  async #descend(
    node: Mutable<LineageNode>,
    claims: readonly ProvenanceClaim[],
    path: readonly string[],
  ): Promise<void> {
    const dockerfile = this.#parse(node);
    const inputs = dockerfile === undefined ? [] : this.#inputs(dockerfile, node);
    const base = inputs.find(({ kind }) => kind === 'base');
    await this.#addBase(node, dockerfile, base, claims, path);
    for (const input of inputs) {
      if (input.kind !== 'base') await this.#addInput(node, input, path);
    }
    if (dockerfile?.syntax !== undefined) this.#addFrontend(node, dockerfile.syntax);
  }

  #parse(node: Mutable<LineageNode>): Dockerfile | undefined {
    const { text } = node.dockerfile;
    if (text === undefined) return undefined;
    try {
      const attested = node.claims.find(({ parameters }) => parameters !== undefined)?.parameters;
      const all = { ...attested, buildArgs: { ...attested?.buildArgs, ...this.#options.buildArgs } };
      const dockerfile = parseDockerfile(text, { platform: this.#platform, ...all });
      const parameters = usedParameters(dockerfile, all);
      if (parameters !== undefined) node.dockerfile = { ...node.dockerfile, parameters };
      return dockerfile;
    } catch (error) {
      if (!ImagevetError.is(error)) throw error;
      this.gaps.push({ stage: 'lineage', code: error.code, message: error.message, node: node.id });
      return undefined;
    }
  }

  #inputs(dockerfile: Dockerfile, node: LineageNode): readonly ExternalImage[] {
    try {
      return externalImages(dockerfile);
    } catch (error) {
      if (!ImagevetError.is(error)) throw error;
      this.gaps.push({ stage: 'lineage', code: error.code, message: error.message, node: node.id });
      return [];
    }
  }

  async #addBase(
    node: Mutable<LineageNode>,
    dockerfile: Dockerfile | undefined,
    base: ExternalImage | undefined,
    claims: readonly ProvenanceClaim[],
    path: readonly string[],
  ): Promise<void> {
    const firm = claims.filter((claim) => claim.base !== undefined && claim.kind !== 'image-label');
    const target = base === undefined ? baseFromClaims(firm) : base.name;
    if (target === undefined || target.kind === 'unresolved') {
      const reason =
        target === undefined
          ? 'its base is not known'
          : `its base ${target.text} cannot be known: ${target.reason}`;
      this.#end(node, 'unresolved', 'BASE_UNRESOLVED', reason, base?.line);
      return;
    }
    if (target.kind === 'scratch') {
      node.end = 'scratch';
      this.#align(node, dockerfile, undefined);
      return;
    }
    const named = withDefaultTag(target.reference);
    const parentId = idOf(named, this.#platform);
    if (path.includes(parentId)) {
      this.#end(node, 'cycle', 'LINEAGE_CYCLE', `its base ${target.text} is built on it`, base?.line);
      return;
    }
    const limit = this.#limit(path);
    if (limit !== undefined) {
      this.#end(
        node,
        'depth-limit',
        'LINEAGE_LIMIT',
        `its base ${target.text} was not followed: ${limit}`,
        base?.line,
      );
      return;
    }
    const agreeing = firm.filter((claim) => names(claim, named));
    const pinned = named.digest ?? agreeing.find((claim) => claim.base?.digest !== undefined)?.base?.digest;
    const search: ParentSearch =
      pinned === undefined && node.image !== undefined
        ? await findParent(node.image, named, claims, { ...this.#options, platform: this.#platform })
        : { labelled: [] };
    const parent = await this.visit(named, path, pinned ?? search.digest);
    const isPinned =
      pinned !== undefined && [parent.image?.manifest.digest, parent.image?.index?.digest].includes(pinned);
    const { grade, evidence } = gradeEdge({
      ...(node.image === undefined ? {} : { child: node.image }),
      ...(parent.image === undefined ? {} : { parent: parent.image }),
      claims: agreeing,
      ...(base === undefined ? {} : { line: base.line }),
      ...(node.dockerfile.url === undefined ? {} : { dockerfileUrl: node.dockerfile.url }),
      parentPinned: isPinned,
      labelled: search.labelled,
      ...(search.moved === undefined ? {} : { moved: search.moved }),
    });
    const line = base === undefined ? {} : { line: base.line };
    this.edges.push({
      kind: 'base',
      from: node.id,
      to: parent.id,
      name: target.text,
      ...line,
      grade,
      evidence,
    });
    this.#options.onProgress?.({ type: 'edge-graded', from: node.id, to: parent.id, grade });
    this.#align(node, dockerfile, grade === 'proven' ? parent.image : undefined);
  }

  /** The limit that lets no other image in below this path. */
  #limit(path: readonly string[]): string | undefined {
    const { maxDepth, maxImages } = limitsOf(this.#options);
    if (path.length >= maxDepth)
      return `the lineage is ${maxDepth} images deep, which is the limit (maxDepth)`;
    if (this.nodes.length < maxImages) return undefined;
    return `the lineage has ${maxImages} images, which is the limit (maxImages)`;
  }

  async #addInput(node: LineageNode, input: ExternalImage, path: readonly string[]): Promise<void> {
    const { kind, name, line } = input;
    if (name.kind === 'scratch') return;
    if (name.kind === 'unresolved') {
      const message = `line ${line} takes files from ${name.text}, which cannot be known: ${name.reason}`;
      this.gaps.push({ stage: 'lineage', code: 'INPUT_UNRESOLVED', message, node: node.id });
      return;
    }
    const named = withDefaultTag(name.reference);
    const id = idOf(named, this.#platform);
    const evidence = [
      {
        kind: 'dockerfile' as const,
        verdict: 'supports' as const,
        message: `the Dockerfile names it in line ${line}`,
      },
    ];
    const limit = this.#limit(path);
    if (limit !== undefined && !path.includes(id)) {
      this.gaps.push({
        stage: 'lineage',
        code: 'LINEAGE_LIMIT',
        message: `line ${line} takes files from ${name.text}, which was not followed: ${limit}`,
        node: node.id,
      });
      return;
    }
    // An image may take files from a descendant of itself (another tag of a builder image): an edge, not a cycle of bases.
    if (!path.includes(id)) await this.visit(named, path, named.digest);
    this.edges.push({ kind, from: node.id, to: id, name: name.text, line, grade: 'claimed', evidence });
  }

  /** A frontend reads the Dockerfile in the builder; it is named, not followed. */
  #addFrontend(node: LineageNode, syntax: { readonly text: string; readonly line: number }): void {
    let reference: ImageReference;
    try {
      reference = withDefaultTag(parseReference(syntax.text));
    } catch (error) {
      if (!ImagevetError.is(error)) throw error;
      this.gaps.push({
        stage: 'lineage',
        code: error.code,
        message: `# syntax: ${error.message}`,
        node: node.id,
      });
      return;
    }
    const id = idOf(reference, this.#platform);
    if (!this.#known.has(id)) {
      const dockerfile: DockerfileRecord = {
        status: 'not-named',
        reachability: 'unchecked',
        consistency: 'unchecked',
      };
      const node: LineageNode = { id, reference, platform: this.#platform, claims: [], dockerfile };
      this.nodes.push(node);
      this.#known.set(id, node);
    }
    const message = `the Dockerfile names it in line ${syntax.line}`;
    this.edges.push({
      kind: 'frontend',
      from: node.id,
      to: id,
      name: syntax.text,
      line: syntax.line,
      grade: 'claimed',
      evidence: [{ kind: 'dockerfile', verdict: 'supports', message }],
    });
  }

  /** Holds the Dockerfile against the image's history, once the base's part of it is known. */
  #align(
    node: Mutable<LineageNode>,
    dockerfile: Dockerfile | undefined,
    parent: ResolvedImage | undefined,
  ): void {
    if (dockerfile === undefined || node.image === undefined) return;
    const proven = parent !== undefined && provePrefix(parent, node.image).history;
    const { consistency, inconsistency } = alignHistory(dockerfile, node.image.history, {
      ...(proven
        ? { parentEntries: parent.history.length }
        : node.end === 'scratch'
          ? { parentEntries: 0 }
          : {}),
      ...(parent === undefined ? {} : { base: parent.execution }),
      layers: node.image.diffIds.length,
    });
    node.dockerfile = {
      ...node.dockerfile,
      consistency,
      ...(inconsistency === undefined ? {} : { inconsistency }),
    };
  }

  #end(
    node: Mutable<LineageNode>,
    end: NonNullable<LineageNode['end']>,
    code: string,
    reason: string,
    line?: number,
  ): void {
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
