import {
  type Fetcher,
  formatReference,
  type ImageReference,
  ImagevetError,
  type OperationOptions,
  type Platform,
  parseReference,
  RegistryError,
  type ResolvedImage,
  resolveImage,
  withDefaultTag,
} from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import { type ExternalImage, externalImages, usedParameters } from '../dockerfile/queries.ts';
import type { Dockerfile } from '../dockerfile/types.ts';
import { CoreError, type Gap } from '../errors.ts';
import { collectClaims, findConflicts } from './claims.ts';
import { findOwnDockerfile } from './find-dockerfile.ts';
import { findParent, type ParentSearch } from './find-parent.ts';
import { gradeEdge } from './grade-edge.ts';
import { alignHistory } from './history/align-history.ts';
import { baseFromClaims, idOf, names } from './names.ts';
import { provePrefix } from './prove-prefix.ts';
import type {
  DockerfileRecord,
  LineageConflict,
  LineageEdge,
  LineageEvent,
  LineageNode,
  ProvenanceClaim,
  ProvenanceSource,
  SourceHost,
} from './types.ts';

/** Options of `resolveLineage()`. */
export interface ResolveLineageOptions extends OperationOptions {
  /** Reads images; without it the lineage rests on claims alone. */
  readonly registry?: Fetcher;
  /** Who is asked where an image came from. All are asked; disagreement is recorded. */
  readonly sources: readonly ProvenanceSource[];
  /** Reads Dockerfiles. */
  readonly host?: SourceHost;
  /** @defaultValue linux/amd64 */
  readonly platform?: Platform;
  /** Asks as of this time. @defaultValue now */
  readonly asOf?: Date;
  /** Images on one path, 1 or more. @defaultValue 32 */
  readonly maxDepth?: number;
  /** Images in all, 1 or more. @defaultValue 200 */
  readonly maxImages?: number;
  /** Values of ARGs, over the Dockerfiles' defaults and over what attestations say the images were built with. */
  readonly buildArgs?: Readonly<Record<string, string>>;
  /**
   * Other images a base may have been when its tag has moved since the build: by digest, or by other tags of its repository.
   * The first 32 are tried until one proves to be the base. @defaultValue none
   */
  readonly otherVersions?: (
    reference: ImageReference,
    options: OperationOptions,
  ) => AsyncIterable<ImageReference> | Iterable<ImageReference>;
  readonly onProgress?: (event: LineageEvent) => void;
}

/**
 * The limits of a walk.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a limit that is no whole number above 0
 */
export function limitsOf({
  maxDepth = 32,
  maxImages = 200,
}: Pick<ResolveLineageOptions, 'maxDepth' | 'maxImages'>): {
  readonly maxDepth: number;
  readonly maxImages: number;
} {
  for (const [name, value] of Object.entries({ maxDepth, maxImages })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new CoreError('INVALID_OPTIONS', `${name}: expected a whole number above 0, received ${value}`);
  }
  return { maxDepth, maxImages };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The walk from one image down everything it is built on; collects what it finds. */
export class Walk {
  readonly nodes: Mutable<LineageNode>[] = [];
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
    const known = this.nodes.find((node) => node.id === id);
    if (known !== undefined) return known;
    this.#options.onProgress?.({ type: 'image-resolving', node: id, depth: path.length });
    const image = await this.#resolve(reference, id, pinned, path.length === 0);
    const { claims, gaps } = await collectClaims(
      this.#options.sources,
      {
        reference,
        platform: this.#platform,
        ...(image.found === undefined ? {} : { image: image.found }),
        ...(this.#options.asOf === undefined ? {} : { asOf: this.#options.asOf }),
      },
      id,
      this.#options,
    );
    this.gaps.push(...gaps);
    if (image.failure !== undefined) {
      const unreachable = image.failure.code === 'UNREACHABLE' || image.failure.code === 'TIMEOUT';
      if (path.length === 0 && claims.length === 0 && !unreachable) throw image.failure;
    }
    this.conflicts.push(...findConflicts(id, claims));
    const { record, gaps: missing } = await findOwnDockerfile(
      claims,
      this.#options.host,
      { node: id, ...(image.found === undefined ? {} : { image: image.found }) },
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
      ...(image.found === undefined ? {} : { image: image.found }),
      claims,
      dockerfile: record,
    };
    this.nodes.push(node);
    await this.#descend(node, claims, [...path, id]);
    return node;
  }

  async #resolve(
    reference: ImageReference,
    id: string,
    pinned: ImageReference['digest'],
    isRoot: boolean,
  ): Promise<{ readonly found?: ResolvedImage; readonly failure?: RegistryError }> {
    const { registry: source, signal, asOf } = this.#options;
    if (source === undefined) return {};
    const candidates =
      pinned === undefined ? [reference] : [{ ...reference, tag: undefined, digest: pinned }, reference];
    let failure: RegistryError | undefined;
    for (const candidate of candidates) {
      try {
        const found = await resolveImage(candidate, { source, platform: this.#platform, signal });
        if (
          asOf === undefined ||
          candidate.digest !== undefined ||
          Date.parse(found.created ?? '') <= asOf.getTime()
        ) {
          return { found: { ...found, reference } };
        }
        const message = `the registry's image was made ${found.created ?? 'at an unknown time'}, after the time asked about`;
        this.gaps.push({ stage: 'resolve', code: 'IMAGE_NEWER_THAN_AS_OF', message, node: id });
        return {};
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason;
        if (!(error instanceof RegistryError)) throw error;
        // Content that is not what it should be must stop the vetting, not merely leave a hole in it.
        if (isRoot && (error.code === 'DIGEST_MISMATCH' || error.code === 'AMBIGUOUS_MANIFEST')) throw error;
        failure ??= error;
      }
    }
    if (failure === undefined) return {};
    const hint = failure.hint === undefined ? {} : { hint: failure.hint };
    this.gaps.push({ stage: 'resolve', code: failure.code, message: failure.message, node: id, ...hint });
    return { failure };
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
    if (!this.nodes.some((known) => known.id === id)) {
      const dockerfile: DockerfileRecord = {
        status: 'not-named',
        reachability: 'unchecked',
        consistency: 'unchecked',
      };
      this.nodes.push({ id, reference, platform: this.#platform, claims: [], dockerfile });
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
