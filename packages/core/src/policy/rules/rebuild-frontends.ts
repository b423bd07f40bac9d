import { about, answer, type Failure, type RuleCheck } from '../rule.ts';
import type { PolicyRule } from '../types.ts';

type Frontends = Extract<PolicyRule, { rule: 'rebuild.frontends' }>;

/** `rebuild.frontends` */
export const rebuildFrontends: RuleCheck<Frontends> = {
  title: 'Dockerfiles are read by allowed frontends',
  rationale:
    'A # syntax= line names an image that runs in the builder and turns the Dockerfile into a build. It can put anything into the result, whatever the Dockerfile says.',
  check: ({ allow }, view) => {
    const failures = view.edges.flatMap((edge): Failure[] => {
      if (edge.kind !== 'frontend') return [];
      const reference = view.node(edge.to)?.reference;
      const repository =
        reference === undefined ? undefined : `${reference.registry}/${reference.repository}`;
      if (repository !== undefined && allow.includes(repository)) return [];
      const message = `its Dockerfile is read by ${edge.name}, which the policy does not list`;
      return [{ outcome: 'fail', code: 'rebuild.frontend-not-allowed', message, ...about(view, edge.from) }];
    });
    return answer(
      failures,
      'rebuild.frontends',
      'every Dockerfile is read by a listed frontend, or the builder itself',
    );
  },
};
