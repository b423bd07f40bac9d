import { CoreError } from '../../errors.ts';
import { isCommitId, isFetchRef, toRepositoryPath } from '../location.ts';

// What hosts are asked comes from claims: nothing of it may become part of a URL or an argument unchecked.

/** @throws {@link CoreError} `SOURCE_UNSUPPORTED` */
export function checkCommit(commit: string): void {
  if (isCommitId(commit)) return;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `expected a full commit id, received ${JSON.stringify(commit.slice(0, 80))}`,
  );
}

/** Returns a normal path inside the repository. @throws {@link CoreError} `SOURCE_UNSUPPORTED` */
export function checkPath(path: string): string {
  const normal = toRepositoryPath(path);
  if (normal !== undefined) return normal;
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `path ${JSON.stringify(path.slice(0, 200))} leaves the repository`,
  );
}

/** A branch or tag, by its kind and short name. */
export interface NamedRef {
  readonly kind: 'branch' | 'tag';
  readonly short: string;
}

/** Splits a full ref name; undefined for `HEAD`. @throws {@link CoreError} `SOURCE_UNSUPPORTED` for anything else */
export function checkRef(ref: string): NamedRef | undefined {
  if (ref === 'HEAD') return undefined;
  if (isFetchRef(ref)) {
    const kind = ref.startsWith('refs/heads/') ? 'branch' : 'tag';
    return { kind, short: ref.slice(kind === 'branch' ? 'refs/heads/'.length : 'refs/tags/'.length) };
  }
  throw new CoreError(
    'SOURCE_UNSUPPORTED',
    `read ref ${JSON.stringify(ref.slice(0, 200))}: it is no full name of a branch or tag`,
  );
}

/** Encodes each segment of a path for a URL. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** Writes a query; what is undefined is left out. */
export function toQuery(values: Readonly<Record<string, string | undefined>>): string {
  const told = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return new URLSearchParams(told).toString();
}

/** A member of what may be an object. */
export function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/** A member that is a full commit id. */
export function commitIn(value: unknown, name: string): string | undefined {
  const id = property(value, name);
  return typeof id === 'string' && isCommitId(id) ? id : undefined;
}
