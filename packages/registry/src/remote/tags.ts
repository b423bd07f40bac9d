import type { OperationOptions } from '../options.ts';
import { formatReference, isTag, type Repository } from '../reference.ts';
import { type Ask, PULL } from './ask.ts';
import { listNames, PAGE_SIZE } from './paging.ts';

/** @see OCI distribution-spec, "Listing Tags" */
export function listTags(
  ask: Ask,
  repository: Repository,
  options: OperationOptions = {},
): AsyncGenerator<string, void, undefined> {
  const { registry, repository: path } = repository;
  const subject = `tags of ${formatReference({ registry, repository: path })}`;
  const first = { repository, action: PULL, subject, path: `tags/list?n=${PAGE_SIZE}`, member: 'tags' };
  return listNames(ask, first, isTag, options);
}
