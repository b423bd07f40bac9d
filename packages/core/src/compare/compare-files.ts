import type { FilesystemEntry, FilesystemView, LayerEntry } from '@imagevet/registry';
import type { Attribution } from './attribution.ts';
import { Explainer } from './explain.ts';
import { packageEntry } from './packages/package-lists.ts';
import type { PathPair } from './path-pair.ts';
import type { Comparison, DifferenceOrigin, FileAspect, FileDifference } from './types.ts';

/** What came of comparing the files of two images. */
export interface FilesCompared
  extends Pick<Comparison, 'grade' | 'files' | 'differences' | 'truncated' | 'packages' | 'unreadDatabases'> {
  /** Paths that might have a cause if their content had been kept. */
  readonly unread: ReadonlySet<string>;
}

/**
 * Compares two filesystems path by path; at most `limit` differences are kept, those without a cause first.
 *
 * @param attribution - says what made them
 */
export function compareFiles(
  original: FilesystemView,
  rebuilt: FilesystemView,
  limit: number,
  attribution: Pick<Attribution, 'ofPath'>,
): FilesCompared {
  const explainer = new Explainer(original, rebuilt);
  const counts = { compared: 0, equal: 0, timestampsOnly: 0 };
  const explained: FileDifference[] = [];
  const unexplained: FileDifference[] = [];
  const found = { unexplained: 0, explained: 0, benign: 0 };

  for (const pair of pairs(original, rebuilt)) {
    counts.compared += 1;
    const equal = isEqual(pair);
    if (equal && explainer.isUsedAlike(pair)) {
      counts[pair.original?.mtime === pair.rebuilt?.mtime ? 'equal' : 'timestampsOnly'] += 1;
      continue;
    }
    const differing: PathPair = equal ? { ...pair, aspects: ['time'] } : pair;
    const explanation = explainer.explain(differing);
    found[explanation === undefined ? 'unexplained' : explanation.benign ? 'benign' : 'explained'] += 1;
    const kept = explanation === undefined ? unexplained : explained;
    if (kept.length < limit) kept.push(difference(differing, explanation?.cause, attribution.ofPath(pair)));
  }

  const packages = explainer.packages.map((item) => {
    const [one, other] = [original, rebuilt].map((view) => packageEntry(view, item));
    const origin = attribution.ofPath({ original: one, rebuilt: other });
    return origin === undefined ? item : { ...item, origin };
  });
  const total = found.unexplained + found.explained + found.benign;
  return {
    grade: gradeOf(found, packages.length > 0),
    files: counts,
    differences: [...unexplained.sort(byPath), ...explained.sort(byPath)].slice(0, limit),
    truncated: total > limit,
    ...(total > 0 && { packages }),
    ...(explainer.failures.length > 0 && { unreadDatabases: explainer.failures }),
    unread: explainer.unread,
  };
}

/** What a path is, but for its time: `file 4755 0:0 1024 bytes sha256:...`. Equal texts mean equal entries. */
export function describeEntry(entry: LayerEntry): string {
  const { type, mode, uid, gid, size, digest, linkTarget, xattrs, device } = entry;
  const parts = [type, mode.toString(8).padStart(4, '0'), `${uid}:${gid}`];
  if (type === 'file') parts.push(`${size} bytes`, digest ?? 'not hashed');
  if (linkTarget !== undefined) parts.push(`-> ${JSON.stringify(linkTarget)}`);
  if (device !== undefined) parts.push(`${device.major}:${device.minor}`);
  if (xattrs !== undefined) parts.push(describeAttributes(xattrs));
  return parts.join(' ');
}

function byPath(one: FileDifference, other: FileDifference): number {
  return one.path < other.path ? -1 : 1;
}

function* pairs(original: FilesystemView, rebuilt: FilesystemView): Generator<PathPair> {
  for (const entry of original) yield pair(entry.path, entry, rebuilt.get(entry.path));
  for (const entry of rebuilt) {
    if (original.get(entry.path) === undefined) yield pair(entry.path, undefined, entry);
  }
}

function pair(
  path: string,
  original: FilesystemEntry | undefined,
  rebuilt: FilesystemEntry | undefined,
): PathPair {
  return { path, original, rebuilt, aspects: original && rebuilt ? aspectsOf(original, rebuilt) : [] };
}

function isEqual({ original, rebuilt, aspects }: PathPair): boolean {
  return original !== undefined && rebuilt !== undefined && aspects.length === 0;
}

function aspectsOf(one: FilesystemEntry, other: FilesystemEntry): FileAspect[] {
  const aspects: FileAspect[] = [];
  if (one.type !== other.type) aspects.push('type');
  if (one.digest !== other.digest) aspects.push('content');
  if (one.size !== other.size) aspects.push('size');
  // Links have no mode of their own.
  if (one.mode !== other.mode && !(one.type === 'symlink' && other.type === 'symlink')) aspects.push('mode');
  if (one.uid !== other.uid || one.gid !== other.gid) aspects.push('owner');
  if (one.linkTarget !== other.linkTarget) aspects.push('link');
  if (describeAttributes(one.xattrs) !== describeAttributes(other.xattrs)) aspects.push('xattr');
  if (one.device?.major !== other.device?.major || one.device?.minor !== other.device?.minor)
    aspects.push('device');
  return aspects;
}

/** As JSON, since names may hold anything. */
function describeAttributes(xattrs: LayerEntry['xattrs']): string {
  return JSON.stringify(Object.entries(xattrs ?? {}).sort(([one], [other]) => (one < other ? -1 : 1)));
}

function difference(
  { path, original, rebuilt, aspects }: PathPair,
  explanation: string | undefined,
  origin: DifferenceOrigin | undefined,
): FileDifference {
  return {
    path,
    change: original === undefined ? 'added' : rebuilt === undefined ? 'removed' : 'changed',
    aspects,
    ...(original && { original: describeEntry(original) }),
    ...(rebuilt && { rebuilt: describeEntry(rebuilt) }),
    ...(explanation !== undefined && { explanation }),
    ...(origin !== undefined && { origin }),
  };
}

function gradeOf(
  found: { unexplained: number; explained: number },
  packagesDiffer: boolean,
): Comparison['grade'] {
  if (found.unexplained > 0) return 'unexplained';
  if (packagesDiffer) return 'explained';
  return found.explained > 0 ? 'same-packages' : 'same-content';
}
