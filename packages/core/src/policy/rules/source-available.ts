import type { DockerfileRecord } from '../../lineage/types.ts';
import { nameOf } from '../facts-view.ts';
import { answer, type Failure, type RuleCheck } from '../rule.ts';

/** `source.available` */
export const sourceAvailable: RuleCheck<{ readonly rule: 'source.available' }> = {
  title: 'Every Dockerfile was read from a commit of its own repository',
  rationale:
    'What cannot be read cannot be audited or rebuilt. A commit that no branch or tag contains may come from anybody who forked the repository.',
  check: (_rule, view) => {
    const failures = view.nodes.flatMap((node): Failure[] => {
      const problem = problemOf(node.dockerfile);
      return problem === undefined ? [] : [{ ...problem, node: node.id, term: nameOf(node) }];
    });
    return answer(
      failures,
      'source.available',
      'every Dockerfile was read from a commit its repository contains',
    );
  },
};

function problemOf(record: DockerfileRecord): Failure | undefined {
  const at =
    record.location === undefined ? '' : ` (${record.location.repository}@${record.location.commit})`;
  const failed = (
    outcome: Failure['outcome'],
    code: string,
    message: string,
    remediation?: string,
  ): Failure => ({
    outcome,
    code: `source.${code}`,
    message: `${message}${at}`,
    ...(remediation === undefined ? {} : { remediation }),
  });
  switch (record.status) {
    case 'commit-unreachable':
      return failed(
        'fail',
        'commit-gone',
        'the commit of its Dockerfile is no longer in the repository',
        ARCHIVE,
      );
    case 'file-missing':
      return failed('fail', 'file-missing', 'the repository has no such Dockerfile at that commit');
    case 'host-unreachable':
      return failed(
        'error',
        'host-unreachable',
        'the host of its Dockerfile did not answer',
        'Try again later.',
      );
    case 'not-named':
      return failed('fail', 'not-named', 'no source names its Dockerfile');
  }
  if (record.repository?.state === 'younger') {
    return failed(
      'fail',
      'repository-replaced',
      'its repository was made after it was named as the source, in the place of another',
      REPLACED,
    );
  }
  // An imported layout has no Dockerfile; that its commit is the repository's own is asked all the same.
  if (record.text === undefined && record.status !== 'imported')
    return failed('error', 'not-read', 'its Dockerfile was found but not read');
  if (record.reachability === 'unreachable') {
    return failed(
      'fail',
      'commit-unreachable',
      'no branch or tag of the repository contains its commit',
      IMPOSTER,
    );
  }
  if (record.reachability === 'unchecked') {
    return failed(
      'error',
      'reachability-unchecked',
      'whether the repository contains its commit was not checked',
    );
  }
  return undefined;
}

const ARCHIVE =
  'Take the commit from an archive of the repository, or vet a version whose source is still published.';
const REPLACED =
  'Find out what became of the repository that was meant; whoever registers a name that was given up can put anything there.';
const IMPOSTER =
  'Treat the commit as a stranger: hosts show commits of any fork under the address of the original.';
