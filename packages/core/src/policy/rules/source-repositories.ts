import { nameOf } from '../facts-view.ts';
import { answer, type Failure, type RuleCheck } from '../rule.ts';
import type { PolicyRule } from '../types.ts';

type Repositories = Extract<PolicyRule, { rule: 'source.repositories' }>;

/** `source.repositories` */
export const sourceRepositories: RuleCheck<Repositories> = {
  title: 'Every Dockerfile comes from an allowed repository',
  rationale:
    'Stolen publisher credentials replace an image, rarely its source repository as well: an origin that moved is the earliest sign.',
  check: ({ allow }, view) => {
    const failures = view.nodes.flatMap((node): Failure[] => {
      const about = { node: node.id, term: nameOf(node) };
      const repository = node.dockerfile.location?.repository;
      if (repository === undefined) {
        const message = 'no repository is known for its Dockerfile';
        return [{ outcome: 'error', code: 'source.repository-unknown', message, ...about }];
      }
      if (allow.some((pattern) => matches(pattern, repository))) return [];
      const message = `its Dockerfile comes from ${repository}, which the policy does not list`;
      return [{ outcome: 'fail', code: 'source.repository-not-allowed', message, ...about }];
    });
    return answer(failures, 'source.repositories', 'every Dockerfile comes from a listed repository');
  },
};

/** Exact, or below `https://host/path/*`. A repository with `..`, `%`, `@`, `?` or `#` in it matches nothing. */
function matches(pattern: string, repository: string): boolean {
  if (/[%@?#\\]/.test(repository) || repository.split('/').some((part) => part === '.' || part === '..'))
    return false;
  return pattern.endsWith('/*') ? below(pattern.slice(0, -1), repository) : pattern === repository;
}

function below(folder: string, repository: string): boolean {
  return repository.startsWith(folder) && repository.length > folder.length;
}
