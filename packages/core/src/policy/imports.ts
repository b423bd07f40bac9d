import type { LineageNode } from '../lineage/types.ts';
import type { Facts } from './types.ts';

/**
 * Tells whether a base needs no rebuild: it is the OCI layout of its repository, byte for byte or in all that runs, and what is
 * built on it is built on that digest. Not the image asked about: nothing was made that could be run in its place.
 */
export function isImport({ id, image, dockerfile }: LineageNode, { lineage, plan }: Facts): boolean {
  const { status, layout, consistency } = dockerfile;
  if (id === lineage.root || status !== 'imported' || consistency !== 'consistent') return false;
  if (layout === undefined || layout.match === 'none' || image === undefined) return false;
  return plan?.imports?.some((each) => each.id === id && each.digest === image.manifest.digest) === true;
}
