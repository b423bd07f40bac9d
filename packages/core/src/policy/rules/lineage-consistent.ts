import { nameOf } from '../facts-view.ts';
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
      if (consistency === 'inconsistent') {
        const message = `its Dockerfile does not fit its history: ${inconsistency?.message ?? 'no reason given'}`;
        failures.push({ outcome: 'fail', code: 'lineage.dockerfile-inconsistent', message, ...at });
      }
      if (node.image === undefined) {
        const message = 'no registry showed it, so nothing could be held against what is claimed';
        failures.push({ outcome: 'error', code: 'lineage.image-not-shown', message, ...at });
      } else if (consistency === 'unchecked' && text !== undefined) {
        const message = 'whether its Dockerfile fits its history was not checked';
        failures.push({ outcome: 'error', code: 'lineage.consistency-unchecked', message, ...at });
      }
    }
    failures.push(
      ...gapFailures(
        view,
        ['provenance', 'resolve'],
        'lineage.source-not-asked',
        'a source could not be asked',
      ),
    );
    return answer(failures, 'lineage.consistent', 'no layer, history or source contradicts another');
  },
};
