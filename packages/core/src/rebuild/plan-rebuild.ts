import {
  digestHex,
  digestOf,
  formatPlatform,
  formatReference,
  type ImageReference,
} from '@imagevet/registry';
import { CoreError, type Gap } from '../errors.ts';
import type { Lineage, LineageEdge, LineageNode } from '../lineage/types.ts';
import type { RebuildInput, RebuildPlan, RebuildStep } from './types.ts';

/** Options of {@link planRebuild}. */
export interface PlanRebuildOptions {
  /** Where results go: `docker.io/library/php:8` becomes `<registry>/<repositoryPrefix>/library/php:8`. */
  readonly target: { readonly registry: string; readonly repositoryPrefix: string };
}

/**
 * Plans the rebuild of whole lineages: parents before children, an image they share once. Images that cannot be rebuilt are
 * gaps; their children are built on the public image by digest where there is one, and are gaps too where there is none.
 *
 * @throws {@link CoreError} `PLAN_INVALID` for lineages of different platforms or none.
 */
export function planRebuild(lineages: readonly Lineage[], options: PlanRebuildOptions): RebuildPlan {
  const [first] = lineages;
  if (first === undefined) throw new CoreError('PLAN_INVALID', 'there is no lineage to plan for');
  if (lineages.some(({ platform }) => formatPlatform(platform) !== formatPlatform(first.platform))) {
    throw new CoreError('PLAN_INVALID', 'one plan is for one platform', {
      hint: 'Plan each platform by itself.',
    });
  }
  const nodes = new Map(lineages.flatMap((lineage) => lineage.nodes.map((node) => [node.id, node] as const)));
  const edges = lineages.flatMap((lineage) => lineage.edges.filter(({ kind }) => kind !== 'frontend'));
  const planner = new Planner(nodes, edges, options.target);
  for (const { root } of lineages) planner.add(root);
  const { steps, gaps } = planner;
  const id = digestOf(JSON.stringify(steps.map(({ key, target }) => [key, formatReference(target)])));
  return { id, platform: first.platform, steps, gaps };
}

class Planner {
  readonly steps: RebuildStep[] = [];
  readonly gaps: Gap[] = [];
  readonly #seen = new Set<string>();
  readonly #nodes: ReadonlyMap<string, LineageNode>;
  readonly #edges: readonly LineageEdge[];
  readonly #target: PlanRebuildOptions['target'];

  constructor(
    nodes: ReadonlyMap<string, LineageNode>,
    edges: readonly LineageEdge[],
    target: PlanRebuildOptions['target'],
  ) {
    this.#nodes = nodes;
    this.#edges = edges;
    this.#target = target;
  }

  add(id: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined || this.#seen.has(id)) return;
    this.#seen.add(id);
    const edges = this.#edges.filter(
      ({ from }, index, all) => from === id && all.findIndex((other) => same(other, all[index])) === index,
    );
    for (const { to } of edges) this.add(to);
    const problem = unbuildable(node);
    if (problem !== undefined) return this.#refuse(node, 'NOT_REBUILDABLE', problem);
    const inputs = edges.map((edge) => this.#input(edge));
    const missing = inputs.find(({ step, pinned }) => step === undefined && pinned === undefined);
    if (missing !== undefined) {
      return this.#refuse(
        node,
        'PARENT_NOT_REBUILDABLE',
        `${missing.reference} can neither be rebuilt nor pinned`,
      );
    }
    this.steps.push(this.#step(node, inputs));
  }

  #input(edge: LineageEdge): RebuildInput {
    const parent = this.#nodes.get(edge.to);
    const step = this.steps.find(({ id }) => id === edge.to);
    const reference = parent === undefined ? edge.name : formatReference(parent.reference);
    if (step !== undefined) return { kind: edge.kind, reference, step: step.id };
    const pinned = parent?.image?.manifest.digest;
    return { kind: edge.kind, reference, ...(pinned === undefined ? {} : { pinned }) };
  }

  #step(node: LineageNode, inputs: readonly RebuildInput[]): RebuildStep {
    const { location, text = '', digest } = node.dockerfile;
    if (location === undefined) throw new CoreError('PLAN_INVALID', `${node.id} has no source location`);
    const keys = inputs.map(({ kind, reference, step, pinned }) => [
      kind,
      reference,
      step === undefined ? pinned : this.steps.find(({ id }) => id === step)?.key,
    ]);
    const { repository, commit, directory, path } = location;
    const key = digestHex(
      digestOf(
        JSON.stringify([1, repository, commit, directory, path, digest, formatPlatform(node.platform), keys]),
      ),
    );
    return {
      id: node.id,
      key,
      reference: node.reference,
      platform: node.platform,
      location,
      dockerfile: text,
      inputs,
      ...(node.image === undefined ? {} : { original: node.image.manifest.digest }),
      target: targetOf(node.reference, this.#target),
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

function unbuildable(node: LineageNode): string | undefined {
  const { status, text, location } = node.dockerfile;
  if (text === undefined) return `its Dockerfile is not at hand (${status})`;
  if (location === undefined) return 'no source repository is known for its build context';
  if (node.end !== undefined && node.end !== 'scratch') return `its base is not known (${node.end})`;
  return undefined;
}

/** Public `docker.io/library/php:8` is internal `<prefix>/library/php:8`; other registries keep their host in the path. */
function targetOf(reference: ImageReference, target: PlanRebuildOptions['target']): ImageReference {
  const host =
    reference.registry === 'docker.io' ? '' : `${reference.registry.replaceAll(/[^a-z0-9.]+/g, '-')}/`;
  const tag =
    reference.tag ?? (reference.digest === undefined ? 'latest' : digestHex(reference.digest).slice(0, 40));
  return {
    registry: target.registry,
    repository: `${target.repositoryPrefix}/${host}${reference.repository}`,
    tag,
  };
}

function same(left: LineageEdge, right: LineageEdge | undefined): boolean {
  return left.from === right?.from && left.to === right.to && left.kind === right.kind;
}
