import { isAtLeast } from '../../compare/grades.ts';
import type { LineageNode } from '../../lineage/types.ts';
import { type FactsView, nameOf } from '../facts-view.ts';
import { answer, type Failure, gapFailures, type RuleCheck } from '../rule.ts';
import type { PolicyRule } from '../types.ts';

type MinGrade = Extract<PolicyRule, { rule: 'compare.min-grade' }>;

/** `compare.min-grade` */
export const compareMinGrade: RuleCheck<MinGrade> = {
  title: 'Every rebuilt image equals its public original at least this well',
  rationale:
    'A difference nobody can name is either a public image that was not built from its source, or a rebuild that went wrong.',
  check: ({ grade: wanted }, view) => {
    const gaps = gapFailures(view, ['compare'], 'compare.not-done', 'part of the comparison was not done');
    if (view.facts.rebuild === undefined) {
      const message = 'nothing was rebuilt, so nothing was compared';
      if (gaps.some(({ node }) => node === undefined)) return gaps;
      return [{ outcome: 'error', code: 'compare.not-run', message }, ...gaps];
    }
    const failures = view.nodes.flatMap((node): Failure[] => {
      const problem = problemOf(node, wanted, view);
      return problem === undefined ? [] : [{ ...problem, node: node.id, term: nameOf(node) }];
    });
    return answer([...failures, ...gaps], 'compare.min-grade', `every rebuilt image is ${wanted} or better`);
  },
};

function problemOf(node: LineageNode, wanted: MinGrade['grade'], view: FactsView): Failure | undefined {
  // Not `comparisons[id]`: an id such as `__proto__` must find nothing.
  if (!Object.hasOwn(view.facts.comparisons, node.id)) {
    return {
      outcome: 'error',
      code: 'compare.missing',
      message: 'its rebuild was not compared with the public image',
    };
  }
  const comparison = view.facts.comparisons[node.id]!;
  const original = node.image?.manifest.digest;
  if (comparison.original.digest !== original) {
    const message = `the comparison is about ${comparison.original.digest}, the lineage shows ${original ?? 'none'}`;
    return { outcome: 'error', code: 'compare.other-image', message, final: true };
  }
  const built = view.outcomes(node.id).find(({ status }) => status === 'built');
  const rebuilt = built?.status === 'built' ? built.image.descriptor.digest : undefined;
  if (comparison.rebuilt.digest !== rebuilt) {
    const message = `the comparison is about ${comparison.rebuilt.digest}, the rebuild made ${rebuilt ?? 'none'}`;
    return { outcome: 'error', code: 'compare.other-image', message, final: true };
  }
  if (isAtLeast(comparison.grade, wanted)) return undefined;
  const unexplained = [
    ...comparison.differences.map(({ path, explanation }) => ({ what: path, explanation })),
    ...comparison.config.map(({ field, explanation }) => ({ what: field, explanation })),
  ].filter(({ explanation }) => explanation === undefined);
  const first = unexplained.map(({ what }) => what).sort()[0];
  const example = first === undefined ? '' : `, such as ${first}`;
  return {
    outcome: 'fail',
    code: 'compare.below-grade',
    message: `its rebuild is ${comparison.grade}, the policy asks for ${wanted}; ${differences(unexplained.length)} without explanation${example}`,
    remediation: 'Look at the differences: pin what the build downloads, or name the cause in an exception.',
  };
}

function differences(count: number): string {
  return count === 1 ? '1 difference' : `${count} differences`;
}
