import type { DockerfileCheck } from '../dockerfile/check-dockerfile.ts';
import type { DraftNode } from '../draft.ts';
import type { NodeReading } from './read-node.ts';

/** A reading and what its repository says, as a node of the lineage. */
export function nodeOf(reading: NodeReading, { facts }: DockerfileCheck): DraftNode {
  const { subject, claims, image, record, asOf, buildTimeDoubt } = reading;
  return {
    ...{ id: subject.id, reference: subject.reference, platform: subject.platform },
    ...(image === undefined ? {} : { image }),
    claims,
    dockerfile: { ...record, ...facts },
    ...(asOf === undefined ? {} : { asOf: asOf.toISOString() }),
    ...(buildTimeDoubt === undefined ? {} : { buildTimeDoubt }),
  };
}
