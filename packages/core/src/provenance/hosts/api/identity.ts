import type { RepositoryIdentity } from '../../../lineage/types.ts';
import { toRepositoryUrl } from '../../location.ts';

/** Puts together what a host says of a repository; undefined when it does not say which one it is. */
export function toIdentity(
  site: string,
  { id, path, createdAt }: { readonly id: unknown; readonly path: unknown; readonly createdAt: unknown },
): RepositoryIdentity | undefined {
  const known = (typeof id === 'number' && Number.isSafeInteger(id)) || (typeof id === 'string' && id !== '');
  if (!known || typeof path !== 'string') return undefined;
  const { host, pathname } = new URL(site);
  const repository = toRepositoryUrl(`https://${host}${pathname.replace(/\/+$/, '')}/${path}`);
  if (repository === undefined) return undefined;
  const made = typeof createdAt === 'string' ? Date.parse(createdAt) : Number.NaN;
  return {
    id: `${host}/${String(id).slice(0, 128)}`,
    repository,
    ...(Number.isNaN(made) ? {} : { createdAt: new Date(made).toISOString() }),
  };
}
