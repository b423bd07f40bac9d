import type { Gap } from '../../errors.ts';
import type { LineageNode } from '../../lineage/types.ts';
import { type FactsView, nameOf, walkBases } from '../facts-view.ts';
import { answer, type Failure, gapFailures, type RuleCheck } from '../rule.ts';

/** `lineage.complete` */
export const lineageComplete: RuleCheck<{ readonly rule: 'lineage.complete' }> = {
  title: 'Every base image down to scratch or an imported root filesystem is known',
  rationale:
    'An image is as trustworthy as the least known image it stands on. A lineage that stops early leaves the rest of the filesystem to an unknown author.',
  check: (_rule, view) => {
    const spine = new Set(walkBases(view.facts.lineage.root, view.baseEdges));
    const failures = [
      ...malformed(view),
      ...view.nodes.flatMap((node) => openEnds(node, view)),
      ...blind(view),
    ];
    return answer(
      failures,
      'lineage.complete',
      `every base image down to scratch is known (${count(spine.size)})`,
    );
  },
};

/** Facts that do not make a lineage: the images asked about, or linked to, are missing or stand alone. */
function* malformed(view: FactsView): Iterable<Failure> {
  const { root, nodes } = view.facts.lineage;
  const error = (message: string): Failure => ({
    outcome: 'error',
    code: 'lineage.malformed',
    message,
    final: true,
  });
  if (view.node(root) === undefined) yield error(`the image asked about (${root}) is not in its own lineage`);
  if (new Set(nodes.map(({ id }) => id)).size < nodes.length) yield error('two images have the same id');
  for (const { from, to } of view.edges) {
    for (const id of [from, to]) {
      if (view.node(id) === undefined) yield error(`an edge names ${id}, which is not in the lineage`);
    }
  }
  const reached = new Set([root]);
  // A set grows while it is walked, so this visits everything reachable.
  const parents = Map.groupBy(view.edges, ({ from }) => from);
  for (const id of reached) for (const { to } of parents.get(id) ?? []) reached.add(to);
  for (const { id } of view.allNodes) {
    if (!reached.has(id)) yield error(`nothing links ${id} to the image asked about`);
  }
}

function openEnds(node: LineageNode, view: FactsView): readonly Failure[] {
  const about = { node: node.id, term: nameOf(node) };
  const bases = view.baseEdges.filter(({ from }) => from === node.id);
  if (bases.length > 1) {
    const message = `it has ${bases.length} base images, an image has one`;
    return [{ outcome: 'error', code: 'lineage.ambiguous', message, ...about }];
  }
  if (node.end === 'unresolved') {
    const message = `its base image could not be resolved${causeOf(node, view)}`;
    return [{ outcome: 'fail', code: 'lineage.unresolved', message, ...about, remediation: RESOLVE }];
  }
  if (node.end === 'cycle' || cyclic(node, view)) {
    const message = `its base images lead back to itself${causeOf(node, view)}`;
    return [{ outcome: 'fail', code: 'lineage.cycle', message, ...about }];
  }
  if (node.end === 'depth-limit') {
    const message = `its base images were not followed further${causeOf(node, view)}`;
    return [{ outcome: 'fail', code: 'lineage.depth-limit', message, ...about, remediation: DEEPER }];
  }
  if (bases.length === 0 && node.end === undefined) {
    const message = 'nothing says what it was built on';
    return [{ outcome: 'error', code: 'lineage.open-end', message, ...about }];
  }
  return [];
}

const RESOLVE =
  'Vet the image as of the date it was built, or name the base image by digest in its Dockerfile.';
const DEEPER = 'Raise the depth limit if a lineage this deep is expected.';

function cyclic(node: LineageNode, view: FactsView): boolean {
  const parents = view.baseEdges.filter(({ from }) => from === node.id).map(({ to }) => to);
  return parents.some((parent) => walkBases(parent, view.baseEdges).includes(node.id));
}

/** The reason the lineage itself gives for an end. */
function causeOf(node: LineageNode, view: FactsView): string {
  const cause = view.reportedGaps.find((gap) => explainsEnd(gap, node));
  return cause === undefined ? '' : `: ${cause.message} (${cause.code})`;
}

function explainsEnd(gap: Gap, node: LineageNode | undefined): boolean {
  if (node?.end === undefined || node.end === 'scratch' || node.end === 'rootfs-import') return false;
  return gap.stage === 'lineage' && gap.node === node.id;
}

function blind(view: FactsView): readonly Failure[] {
  return gapFailures(view, ['lineage'], 'lineage.not-seen', 'part of the lineage was not seen', (gap) =>
    explainsEnd(
      gap,
      view.nodes.find(({ id }) => id === gap.node),
    ),
  );
}

function count(images: number): string {
  return images === 1 ? 'one image' : `${images} images`;
}
