import { type Digest, type ImageReference, type Platform, withDefaultTag } from '@imagevet/registry';
import type { ExternalImage } from '../../dockerfile/queries.ts';
import { absence } from '../dockerfile/listed.ts';
import { rootfsArchiveOf } from '../dockerfile/rootfs.ts';
import type { NodeReading } from '../node/read-node.ts';
import type { ProvenanceClaim } from '../types.ts';
import { baseFromClaims, names, takenOn } from './names.ts';

/** The image a node is said to be built on. */
export type BaseTarget = {
  /** Line of the Dockerfile that says so. */
  readonly line?: number;
} & (
  | { readonly kind: 'scratch' }
  | { readonly kind: 'rootfs-import' }
  | { readonly kind: 'unresolved'; readonly reason: string }
  | {
      readonly kind: 'image';
      readonly named: ImageReference;
      /** The name as written. */
      readonly text: string;
      /** Claims that name the same base. */
      readonly agreeing: readonly ProvenanceClaim[];
      /** The digest the name or such a claim gives. */
      readonly pinned?: Digest;
      /** Set where no Dockerfile says it, and claims only let it be inferred. */
      readonly inferred?: true;
      /** Of the `--platform` of its FROM. */
      readonly platform?: Platform;
    }
);

/**
 * Tells what a node is built on: what its Dockerfile says, or else a claim. Labels are not asked: an image inherits them from
 * its base.
 */
export function baseTargetOf({
  inputs,
  claims,
  dockerfile,
  record,
}: Pick<NodeReading, 'inputs' | 'claims' | 'dockerfile' | 'record'>): BaseTarget {
  if (record.builder === 'oci-import') return { kind: 'rootfs-import' };
  // A Dockerfile reconstructed from a history does not know its FROM.
  const base = record.kind === 'image-history' ? undefined : inputs.find(({ kind }) => kind === 'base');
  const firm = claims.filter((claim) => claim.base !== undefined && claim.kind !== 'image-label');
  const said = firm.some((claim) => claim.base?.inferred !== true)
    ? firm.filter((claim) => claim.base?.inferred !== true)
    : firm;
  const target: ExternalImage['name'] | undefined = base === undefined ? baseFromClaims(said) : base.name;
  const line = base === undefined ? {} : { line: base.line };
  if (target === undefined) {
    const { problem } = absence(claims);
    const reason = `its base is not known${problem === undefined ? '' : `: ${problem}`}`;
    return { ...line, kind: 'unresolved', reason };
  }
  if (target.kind === 'unresolved') {
    const reason = `its base ${target.text} cannot be known: ${target.reason}`;
    return { ...line, kind: 'unresolved', reason };
  }
  if (target.kind === 'scratch') {
    const imports = dockerfile !== undefined && rootfsArchiveOf(dockerfile) !== undefined;
    return { ...line, kind: imports ? 'rootfs-import' : 'scratch' };
  }
  const named = withDefaultTag(target.reference);
  const agreeing = firm.filter((claim) => names(claim, named));
  const pinned = named.digest ?? agreeing.find((claim) => claim.base?.digest !== undefined)?.base?.digest;
  return {
    ...{ ...line, kind: 'image', named, text: target.text, agreeing },
    ...(pinned === undefined ? {} : { pinned }),
    ...(base === undefined && agreeing.every((claim) => claim.base?.inferred === true)
      ? { inferred: true as const }
      : {}),
    ...takenOn(base?.platform),
  };
}
