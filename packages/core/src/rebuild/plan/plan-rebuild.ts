import {
  digestHex,
  digestOf,
  formatPlatform,
  formatReference,
  ImagevetError,
  type Platform,
  type Repository,
} from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { externalImages } from '../../dockerfile/queries.ts';
import { CoreError, type Gap } from '../../errors.ts';
import { triggersOf } from '../../lineage/dockerfile/triggered-inputs.ts';
import type { Lineage, LineageEdge, LineageNode } from '../../lineage/types.ts';
import { dockerfileIn } from '../context/read-context.ts';
import type { RebuildPlan, RebuildStep, StepLayout } from '../types.ts';
import { type NameRule, pathOf } from './internal-names.ts';
import { type NamelessStep, nameSteps } from './name-steps.ts';
import { planId } from './plan-id.ts';

/** Where results go: `docker.io/library/php:8` becomes `<registry>/<repositoryPrefix>/library/php:8` once it is admitted. */
export interface PlanTarget {
  /** Host and port: `registry.corp:5000`. */
  readonly registry: string;
  /** What admitted images are below: `vetted`. */
  readonly repositoryPrefix: string;
  /** What builds are pushed below before anybody judged them. @defaultValue `<repositoryPrefix>-scratch` */
  readonly scratchPrefix?: string;
  /**
   * Names of admitted images; the first rule that takes an image decides, and one that none takes is an error.
   * @defaultValue `*` to `<registry>/<repositoryPrefix>/*`
   */
  readonly names?: readonly NameRule[];
}

/** Options of {@link planRebuild}. */
export interface PlanRebuildOptions {
  readonly target: PlanTarget;
  /** Tag of a result. @defaultValue the public tag; the first 40 digits of the digest when there is none */
  readonly tag?: (node: LineageNode) => string;
}

/** Version of what a step's key means. A new number builds everything anew. */
const KEY_VERSION = 2;
/** A base nobody has seen may copy the whole context. */
const UNKNOWN_TRIGGERS = ['COPY . /'];

/**
 * Plans the rebuild of whole lineages: parents before children, an image they share once. An image that is the OCI layout of its
 * repository is taken over as it is: a step that copies, and what is built on it is built on the copy. Images that cannot be rebuilt are
 * gaps; their children are built on the public image by digest where there is one, and are gaps too where there is none.
 * An image that takes files from itself, however far round, cannot be rebuilt.
 *
 * @throws {@link CoreError} `PLAN_INVALID` for lineages of different platforms, that disagree on an image they share, or none;
 * `NAME_UNMAPPED` for an image no rule gives a name, `NAME_CONFLICT` for two that would get one, `INVALID_OPTIONS` for a bad rule
 */
export function planRebuild(lineages: readonly Lineage[], options: PlanRebuildOptions): RebuildPlan {
  const [first] = lineages;
  if (first === undefined) throw new CoreError('PLAN_INVALID', 'there is no lineage to plan for');
  if (lineages.some(({ platform }) => formatPlatform(platform) !== formatPlatform(first.platform))) {
    throw new CoreError('PLAN_INVALID', 'one plan is for one platform', {
      hint: 'Plan each platform by itself.',
    });
  }
  const planner = new Planner(lineages, first.platform, options);
  for (const { root } of lineages) planner.add(root);
  const { gaps } = planner;
  const { registry, repositoryPrefix, names } = options.target;
  const steps = nameSteps([...planner.steps.values()], {
    registry,
    scratchPrefix: scratchPrefixOf(options.target),
    names: names ?? [{ from: '*', to: `${registry}/${repositoryPrefix}/*` }],
  });
  const { platform } = first;
  return { id: planId({ platform, steps }), platform, steps, gaps };
}

class Planner {
  readonly steps: Map<string, NamelessStep> = new Map();
  readonly gaps: Gap[] = [];
  readonly #seen = new Set<string>();
  /** Images whose own inputs are being planned. */
  readonly #open = new Set<string>();
  readonly #nodes = new Map<string, LineageNode>();
  /** Edges by their child, each once. */
  readonly #edges = new Map<string, Map<string, LineageEdge>>();
  readonly #options: PlanRebuildOptions;
  readonly #platform: Platform;

  constructor(lineages: readonly Lineage[], platform: Platform, options: PlanRebuildOptions) {
    this.#options = options;
    this.#platform = platform;
    for (const { nodes, edges } of lineages) {
      for (const node of nodes) this.#addNode(node);
      for (const edge of edges) {
        const own = this.#edges.get(edge.from) ?? new Map<string, LineageEdge>();
        this.#edges.set(edge.from, own.set(`${edge.kind} ${edge.to}`, edge));
      }
    }
  }

  #addNode(node: LineageNode): void {
    const known = this.#nodes.get(node.id);
    const facts = ({ image, dockerfile }: LineageNode) =>
      JSON.stringify([
        image?.manifest.digest,
        dockerfile.location?.commit,
        dockerfile.text,
        dockerfile.parameters,
      ]);
    if (known !== undefined && facts(known) !== facts(node)) {
      throw new CoreError('PLAN_INVALID', `the lineages disagree on ${node.id}`, {
        hint: 'Resolve them again, as of one date.',
      });
    }
    this.#nodes.set(node.id, node);
  }

  add(id: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined || this.#seen.has(id)) return;
    this.#seen.add(id);
    const edges = [...(this.#edges.get(id)?.values() ?? [])];
    this.#open.add(id);
    for (const { kind, to } of edges) if (kind !== 'frontend') this.add(to);
    const circular = edges.find(({ kind, to }) => kind !== 'frontend' && this.#open.has(to));
    this.#open.delete(id);
    // Built on the public bytes of itself, an image would be its own witness.
    if (circular !== undefined) {
      return this.#refuse(node, 'INPUT_CYCLE', `it is built from ${circular.to}, which is built from it`);
    }
    const layout = layoutOf(node);
    if (layout !== undefined) {
      this.steps.set(id, this.#step(node, [], [], layout));
      return;
    }
    const problem = unbuildable(node) ?? this.#foreign(node);
    if (problem !== undefined) return this.#refuse(node, 'NOT_REBUILDABLE', problem);
    const inputs = edges.map((edge) => this.#input(edge));
    const named = new Set(inputs.map(({ reference }) => reference));
    const unknown = outsideImages(node).find(
      ({ reference }) => reference === undefined || !named.has(reference),
    );
    if (unknown !== undefined) return this.#refuse(node, 'INPUT_UNKNOWN', unknown.problem);
    // A frontend nobody pinned does not read the Dockerfile: the builder's own does.
    const needed = inputs.filter(({ kind, pinned }) => kind !== 'frontend' || pinned !== undefined);
    const missing = needed.find(({ step, pinned }) => step === undefined && pinned === undefined);
    if (missing !== undefined) {
      const text = `${missing.reference} can neither be rebuilt nor pinned`;
      return this.#refuse(node, 'PARENT_NOT_REBUILDABLE', text);
    }
    this.steps.set(id, this.#step(node, needed, this.#triggers(edges)));
  }

  /** A builder is given one platform; what a `--platform` takes from another is taken as it is. */
  #foreign({ platform }: LineageNode): string | undefined {
    const [own, taken] = [this.#platform, platform].map(formatPlatform);
    return own === taken ? undefined : `it is taken on ${taken}, and the plan is for ${own}`;
  }

  #triggers(edges: readonly LineageEdge[]): NonNullable<RebuildStep['triggers']> {
    return edges.flatMap(({ kind, to, line = 1 }) => {
      if (kind !== 'base' && kind !== 'stage') return [];
      const parent = this.#nodes.get(to);
      const { image, dockerfile, platform } = parent ?? {};
      const isKnown = image !== undefined || dockerfile?.text !== undefined;
      // What the public image has, and what its rebuild will have.
      const triggers =
        dockerfile !== undefined && platform !== undefined && isKnown
          ? new Set([...triggersOf({ image, dockerfile, platform }), ...triggersOf({ dockerfile, platform })])
          : UNKNOWN_TRIGGERS;
      return [...triggers].map((text) => [line, text] as const);
    });
  }

  #input(edge: LineageEdge): NamelessStep['inputs'][number] {
    const parent = this.#nodes.get(edge.to);
    const step = this.steps.get(edge.to);
    const reference = parent === undefined ? edge.name : formatReference(parent.reference);
    if (step !== undefined) return { kind: edge.kind, reference, step: step.id };
    const pinned = parent?.image?.manifest.digest ?? parent?.reference.digest;
    return { kind: edge.kind, reference, ...(pinned === undefined ? {} : { pinned }) };
  }

  #step(
    node: LineageNode,
    inputs: NamelessStep['inputs'],
    triggers: NonNullable<RebuildStep['triggers']>,
    layout?: StepLayout,
  ): NamelessStep {
    const { location, text = '', contextTree, parameters } = node.dockerfile;
    if (location === undefined) throw new CoreError('PLAN_INVALID', `${node.id} has no source location`);
    const keys = inputs.map(({ kind, reference, step, pinned }) => [
      kind,
      reference,
      step === undefined ? pinned : this.steps.get(step)?.key,
    ]);
    const { repository, commit, directory, path } = location;
    // The same context is the same at every commit.
    const context =
      contextTree === undefined
        ? [repository, commit, directory, path]
        : ['tree', contextTree, dockerfileIn(location) ?? path];
    const source = [...context, digestOf(text), ...(parameters === undefined ? [] : [parameters])];
    const made = layout === undefined ? source : ['layout', layout.digest];
    const key = digestOf(JSON.stringify([KEY_VERSION, ...made, formatPlatform(node.platform), keys]));
    const tag = this.#options.tag?.(node);
    return {
      id: node.id,
      key: digestHex(key),
      reference: node.reference,
      platform: node.platform,
      location,
      dockerfile: layout === undefined ? text : '',
      ...(layout === undefined ? {} : { layout }),
      ...(parameters === undefined ? {} : { parameters }),
      inputs,
      ...(triggers.length === 0 ? {} : { triggers }),
      ...(node.image === undefined ? {} : { original: node.image.manifest.digest }),
      ...(tag === undefined ? {} : { tag }),
      scratch: scratchOf(node, this.#options),
    };
  }

  #refuse(node: LineageNode, code: string, message: string): void {
    this.gaps.push({
      stage: 'rebuild',
      code,
      message: `${node.id} cannot be rebuilt: ${message}`,
      node: node.id,
    });
  }
}

/** The layout of an image whose repository holds it as it is published: there is nothing to build, and its bytes are known. */
function layoutOf({ image, dockerfile }: LineageNode): StepLayout | undefined {
  const { status, layout, location } = dockerfile;
  if (status !== 'imported' || layout === undefined || layout.match === 'none') return undefined;
  if (image === undefined || location === undefined) return undefined;
  return { digest: layout.manifest, match: layout.match };
}

function unbuildable(node: LineageNode): string | undefined {
  const { status, text, location, layout } = node.dockerfile;
  if (status === 'imported') {
    const doubt = layout === undefined ? 'was not held against it' : 'is another image';
    return `it is taken over from an OCI layout, and no Dockerfile makes it; the layout ${doubt}`;
  }
  if (text === undefined) return `its Dockerfile is not at hand (${status})`;
  if (location === undefined) return 'no source repository is known for its build context';
  const isGround = node.end === 'scratch' || node.end === 'rootfs-import';
  if (node.end !== undefined && !isGround) return `its base is not known (${node.end})`;
  return undefined;
}

interface OutsideImage {
  /** Absent where it cannot be told which image it is. */
  readonly reference?: string;
  /** What is wrong when the lineage does not have it. */
  readonly problem: string;
}

/** The images a build takes from outside the Dockerfile. */
function outsideImages({ dockerfile, platform }: LineageNode): readonly OutsideImage[] {
  try {
    return externalImages(
      parseDockerfile(dockerfile.text ?? '', { platform, ...dockerfile.parameters }),
    ).flatMap(({ name, line }): OutsideImage[] => {
      if (name.kind === 'scratch') return [];
      if (name.kind === 'unresolved') {
        return [{ problem: `${JSON.stringify(name.text)} in line ${line}: ${name.reason}` }];
      }
      const reference = formatReference(name.reference);
      return [{ reference, problem: `nothing is known of ${reference}, which line ${line} uses` }];
    });
  } catch (error) {
    if (ImagevetError.is(error)) return [{ problem: error.message }];
    throw error;
  }
}

function scratchOf({ reference }: LineageNode, { target }: PlanRebuildOptions): Repository {
  return { registry: target.registry, repository: `${scratchPrefixOf(target)}/${pathOf(reference)}` };
}

/** What unjudged builds are pushed below. */
export function scratchPrefixOf({ repositoryPrefix, scratchPrefix }: PlanTarget): string {
  return scratchPrefix ?? `${repositoryPrefix}-scratch`;
}
