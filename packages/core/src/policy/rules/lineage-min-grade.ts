import type { LineageEdge } from '../../lineage/types.ts';
import { nameOf } from '../facts-view.ts';
import { about, answer, type Failure, type RuleCheck } from '../rule.ts';
import type { PolicyRule } from '../types.ts';

type MinGrade = Extract<PolicyRule, { rule: 'lineage.min-grade' }>;

/** Best first. */
const GRADES: readonly LineageEdge['grade'][] = ['proven', 'attested', 'claimed'];

/** `lineage.min-grade` */
export const lineageMinGrade: RuleCheck<MinGrade> = {
  title: 'Every base image is known at least this well',
  rationale:
    'A Dockerfile says what an image was meant to be built on; only layers or signed provenance say what it was built on. The grade sets how much of each is asked for.',
  check: ({ grade: wanted }, view) => {
    const failures = view.baseEdges.flatMap((edge): Failure[] => {
      if (edge.grade !== 'unknown' && edge.grade !== 'contradicted') {
        if (GRADES.indexOf(edge.grade) <= GRADES.indexOf(wanted)) return [];
        const message = `its base ${edge.name} is ${edge.grade}, the policy asks for ${wanted}`;
        return [{ outcome: 'fail', code: 'lineage.edge-below-grade', message, ...about(view, edge.from) }];
      }
      if (edge.grade === 'unknown') {
        const message = `how well its base ${edge.name} is known could not be established`;
        return [{ outcome: 'error', code: 'lineage.edge-unknown', message, ...about(view, edge.from) }];
      }
      const message = `its base ${edge.name} is refuted`;
      return [
        {
          outcome: 'fail',
          code: 'lineage.edge-contradicted',
          message,
          final: true,
          ...about(view, edge.from),
        },
      ];
    });
    for (const node of view.nodes) {
      if (node.end === 'scratch' || node.end === 'rootfs-import') continue;
      if (view.baseEdges.some(({ from }) => from === node.id)) continue;
      const message = 'there is no base image to grade, and it is neither built from scratch nor imported';
      failures.push({
        outcome: 'error',
        code: 'lineage.edge-missing',
        message,
        node: node.id,
        term: nameOf(node),
      });
    }
    return answer(failures, 'lineage.min-grade', `every base image is ${wanted} or better`);
  },
};
