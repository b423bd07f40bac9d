import type { ResolvedImage } from '@imagevet/registry';
import type { NodeReading } from '../node/read-node.ts';
import type { LineageConflict, ProvenanceClaim } from '../types.ts';
import type { BaseTarget } from './base-target.ts';
import { isBase } from './find-parent.ts';
import type { NamedBase } from './named-bases.ts';
import { isInherited, isNearer } from './named-evidence.ts';
import { names } from './names.ts';

/** What is known of the base once it was looked for. */
export interface BaseFound {
  readonly parent?: ResolvedImage;
  readonly named: readonly NamedBase[];
}

/**
 * Finds who names another base than the one a node is held to be built on: another name that is shown neither to be the same
 * image nor one further down, or any name where there is no base. What the base says of itself, and what may have been
 * inherited, is left out.
 */
export function baseConflict(
  node: string,
  { claims, record, image }: Pick<NodeReading, 'claims' | 'record' | 'image'>,
  target: BaseTarget,
  { parent, named }: BaseFound = { named: [] },
): readonly LineageConflict[] {
  if (target.kind === 'unresolved') return [];
  const others = claims.filter((claim) => {
    const said = named.find((each) => each.claim === claim);
    return target.kind === 'image'
      ? isAnother(claim, target.named) && !isSettled(claim, said, { image, parent })
      : DECLARED.has(claim.kind) && claim.base !== undefined && claim.base.reference !== 'scratch';
  });
  if (others.length === 0) return [];
  const toStatement = ({ kind, foundAt, base }: ProvenanceClaim) => ({
    ...{ kind, foundAt, value: base?.reference ?? '' },
  });
  const [agreeing] = target.kind === 'image' ? target.agreeing : [];
  const { kind, url } = record;
  const own =
    target.line === undefined || kind === undefined
      ? agreeing === undefined
        ? []
        : [toStatement(agreeing)]
      : [{ kind, foundAt: url ?? '', value: target.kind === 'image' ? target.text : 'scratch' }];
  return [{ node, about: 'base', statements: [...own, ...others.map(toStatement)] }];
}

/** Kinds that say outright which image the base is; an attestation lists what a build read, of which none may be it. */
const DECLARED: ReadonlySet<string> = new Set(['oci-annotation', 'image-label']);

function isAnother(claim: ProvenanceClaim, sought: (BaseTarget & { kind: 'image' })['named']): boolean {
  return claim.base !== undefined && claim.base.inferred !== true && !names(claim, sought);
}

function isSettled(
  claim: ProvenanceClaim,
  said: NamedBase | undefined,
  { image, parent }: { readonly image?: ResolvedImage; readonly parent?: ResolvedImage },
): boolean {
  const isLabel = claim.kind === 'image-label';
  if (isLabel && (parent === undefined || isInherited({ claim }, parent))) return true;
  if (said?.image === undefined || image === undefined) return false;
  return isBase(said.image, image) && !isNearer(said.image, parent);
}
