import { formatPlatform, type ResolvedImage } from '@imagevet/registry';
import type { EdgeEvidence } from '../types.ts';
import { isBase } from './find-parent.ts';
import type { NamedBase } from './named-bases.ts';
import { provePrefix } from './prove-prefix.ts';

/** The two ends of the edge a named base is held against. */
export interface NamedEnds {
  readonly child?: ResolvedImage;
  readonly parent?: ResolvedImage;
}

/**
 * What names another digest is held against the image of that digest, and what names another image against what its tag stands
 * for now, which refutes nothing. A label that the base has too was inherited, and says nothing; one that names another image
 * may have been where the base cannot be seen.
 */
export function namedEvidence(
  { claim, image, agrees }: NamedBase,
  { child, parent }: NamedEnds,
): readonly EdgeEvidence[] {
  const { kind, base, foundAt } = claim;
  const isLabel = kind === 'image-label';
  if (child === undefined || base === undefined || isInherited({ claim }, parent)) return [];
  const { digest } = base;
  const at = digest === undefined ? '' : ` at ${digest}`;
  const says = `${isLabel ? 'its label names' : 'names'} ${base.reference}${at}`;
  const evidence = (verdict: EdgeEvidence['verdict'], message: string): readonly EdgeEvidence[] => [
    { kind, verdict, message, foundAt },
  ];
  if (base.reference === 'scratch') return evidence('neutral', `${says}: that it has no base`);
  if (image === undefined) return evidence('neutral', `${says}, which could not be read`);
  if (isBase(image, child)) {
    if (agrees) return evidence('supports', says);
    // By another name: nothing against the base, and nothing for its name.
    if (isNearer(image, parent))
      return evidence('neutral', `${says}, which it is built on and which is above it`);
    const isSame = image.manifest.digest === parent?.manifest.digest;
    return evidence('neutral', `${says}, ${isSame ? 'which is the same image' : 'which it is built on too'}`);
  }
  if (digest === undefined) return evidence('neutral', `${says}, which is not its base as it is today`);
  const { result, historyDiffersAt } = provePrefix(image, child);
  const isRefuted = result === 'refuted' || historyDiffersAt !== undefined;
  const isForeign = formatPlatform(image.platform) !== formatPlatform(child.platform);
  const what = isForeign ? `which is of ${formatPlatform(image.platform)} and` : 'which';
  const mayBeInherited = (isLabel && !agrees && parent === undefined) || (base.inferred && !agrees);
  return isRefuted && !mayBeInherited
    ? evidence('refutes', `${says}, ${what} is not its base`)
    : evidence('neutral', `${says}, ${what} is not proven`);
}

/** Tells whether the base said the same of its own base, so that the label came with it. */
export function isInherited(
  { claim: { kind, base } }: Pick<NamedBase, 'claim'>,
  parent?: ResolvedImage,
): boolean {
  if (kind !== 'image-label' || parent === undefined) return false;
  const label = (name: string) => parent.labels[`org.opencontainers.image.base.${name}`];
  return base?.digest === undefined ? label('name') === base?.reference : label('digest') === base.digest;
}

/** Tells whether an image a child is built on stands between the child and what is held to be its base. */
export function isNearer(image: ResolvedImage, parent: ResolvedImage | undefined): boolean {
  if (parent === undefined) return false;
  return image.diffIds.length > parent.diffIds.length || image.history.length > parent.history.length;
}
