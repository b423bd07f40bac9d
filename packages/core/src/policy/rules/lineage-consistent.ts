import type { Gap } from '../../errors.ts';
import { type FactsView, nameOf } from '../facts-view.ts';
import { about, answer, type Failure, gapFailures, type RuleCheck } from '../rule.ts';

/** `lineage.consistent` */
export const lineageConsistent: RuleCheck<{ readonly rule: 'lineage.consistent' }> = {
  title: 'Nothing contradicts what is said about the image',
  rationale:
    'When layers refute a claim, or two sources name different origins, somebody is mistaken or lying. Which of the two is a question for a person.',
  check: (_rule, view) => {
    const failures: Failure[] = [];
    for (const edge of view.edges) {
      if (edge.grade !== 'contradicted') continue;
      const refuted = edge.evidence
        .filter(({ verdict }) => verdict === 'refutes')
        .map(({ message }) => message)
        .sort()[0];
      failures.push({
        outcome: 'fail',
        code: 'lineage.edge-contradicted',
        message: `${edge.name} as its ${edge.kind} is refuted${refuted === undefined ? '' : `: ${refuted}`}`,
        remediation: 'Find out which image it was really built on; no exception can waive a contradiction.',
        final: true,
        ...about(view, edge.from),
      });
    }
    for (const { node, about: subject, statements } of view.facts.lineage.conflicts) {
      const said = statements.map(({ kind, value }) => `${kind} says ${value}`).sort();
      const message = `sources disagree about its ${subject}: ${said.join('; ')}`;
      failures.push({ outcome: 'fail', code: 'lineage.conflict', message, ...about(view, node) });
    }
    for (const node of view.nodes) {
      const at = { node: node.id, term: nameOf(node) };
      const { consistency, inconsistency, text } = node.dockerfile;
      const isLayout = node.dockerfile.status === 'imported';
      if (consistency === 'inconsistent' && isLayout) {
        const message =
          inconsistency?.message ?? 'it is not the image of the layout it is said to be taken from';
        failures.push({ outcome: 'fail', code: 'lineage.layout-differs', message, ...at });
      } else if (consistency === 'inconsistent') {
        const message = `its Dockerfile does not fit its history: ${inconsistency?.message ?? 'no reason given'}`;
        failures.push({ outcome: 'fail', code: 'lineage.dockerfile-inconsistent', message, ...at });
      }
      if (node.image === undefined) {
        const cause = view.reportedGaps.find((gap) => gap.stage === 'resolve' && gap.node === node.id);
        const why = cause === undefined ? '' : ` (${cause.code}: ${cause.message})`;
        const message = `no image was there to hold against what is claimed${why}`;
        failures.push({ outcome: 'error', code: 'lineage.image-not-shown', message, ...at });
      } else if (consistency === 'unchecked' || (text === undefined && !isLayout)) {
        const message = isLayout
          ? 'whether it is the image of the layout it is said to be taken from was not checked'
          : text === undefined
            ? 'there is no Dockerfile to hold against its history'
            : 'whether its Dockerfile fits its history was not checked';
        failures.push({ outcome: 'error', code: 'lineage.consistency-unchecked', message, ...at });
      }
    }
    for (const gap of view.reportedGaps.filter(isEquivocation)) {
      const { message, hint } = gap;
      failures.push({
        ...{ outcome: 'fail', code: 'registry.equivocation', message, final: true },
        ...about(view, gap.node),
        ...(hint === undefined ? {} : { remediation: hint }),
      });
    }
    failures.push(
      ...gapFailures(
        view,
        ['provenance', 'resolve'],
        'lineage.source-not-asked',
        'not all that is known could be asked for',
        (gap) => isEquivocation(gap) || saidAbove(gap, view),
      ),
    );
    return answer(failures, 'lineage.consistent', 'no layer, history or source contradicts another');
  },
};

/** A missing image or Dockerfile is a failure of its own, which names the cause. */
function saidAbove({ stage, node: id }: Gap, view: FactsView): boolean {
  const node = view.nodes.find((each) => each.id === id);
  if (node === undefined) return false;
  return stage === 'resolve' ? node.image === undefined : node.dockerfile.text === undefined;
}

function isEquivocation({ code }: Gap): boolean {
  return code === 'REGISTRY_EQUIVOCATION';
}
