import type { OperationOptions } from '../options.ts';
import { isRepositoryPath } from '../reference.ts';
import type { Ask } from './ask.ts';
import { listNames, PAGE_SIZE } from './paging.ts';

/** @see distribution, "Listing Repositories" */
export function listRepositories(
  ask: Ask,
  registry: string,
  options: OperationOptions = {},
): AsyncGenerator<string, void, undefined> {
  const repository = { registry, repository: '' };
  const subject = `repositories of ${registry}`;
  const first = {
    repository,
    action: 'catalog',
    subject,
    path: `_catalog?n=${PAGE_SIZE}`,
    member: 'repositories',
  } as const;
  return listNames(ask, first, isRepositoryPath, options);
}
