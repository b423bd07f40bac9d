import type { ResolvedImage } from '@imagevet/registry';
import type { NodeReading } from '../node/read-node.ts';
import type { ShownSubject } from '../node/show-image.ts';
import type { LineageNode } from '../types.ts';
import type { BaseTarget } from './base-target.ts';
import type { NamedBase } from './named-bases.ts';

/** The image a child is held against. */
export type OwnBase = Pick<NodeReading, 'image' | 'foreign'> & {
  /** Set where the lineage follows another image of that name. */
  readonly notFollowed?: string;
};

/**
 * The image a child is held against: that of its base, or where the digest it was built on is another than the lineage holds
 * under that name, the one of that digest.
 */
export async function ownBase(
  { text }: BaseTarget & { kind: 'image' },
  subject: ShownSubject,
  parent: LineageNode,
  read: (subject: ShownSubject) => Promise<Pick<NodeReading, 'image' | 'foreign'>>,
): Promise<OwnBase> {
  const { pinned } = subject;
  const held = [parent.image?.manifest.digest, parent.image?.index?.digest];
  if (pinned === undefined || held.includes(pinned)) {
    return parent.image === undefined ? {} : { image: parent.image };
  }
  const { image, foreign } = await read(subject);
  const notFollowed =
    image?.manifest.digest === parent.image?.manifest.digest
      ? {}
      : {
          notFollowed: `its base ${text} was ${pinned}; the lineage follows ${held[0] ?? 'no image'} of that name, which another of its images is built on`,
        };
  return {
    ...(image === undefined ? {} : { image }),
    ...(foreign === undefined ? {} : { foreign }),
    ...notFollowed,
  };
}

/** The digests that are known to stand for an image. */
export function digestsOf(
  image: ResolvedImage | undefined,
  named: readonly NamedBase[],
): ReadonlySet<string> {
  if (image === undefined) return new Set();
  const { index, manifest } = image;
  const same = named.flatMap(({ claim: { base }, image: other }) =>
    base?.digest !== undefined && other?.manifest.digest === manifest.digest ? [base.digest] : [],
  );
  return new Set([manifest.digest, ...(index === undefined ? [] : [index.digest]), ...same]);
}
