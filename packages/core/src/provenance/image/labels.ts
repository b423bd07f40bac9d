import type { HistoryEntry } from '@imagevet/registry';
import type { ProvenanceClaim, ProvenanceSource, ProvenanceSubject } from '../../lineage/types.ts';
import { readMetadata, toMetadataClaim } from './metadata-claim.ts';

/**
 * Creates the source that reads the labels of the image config: the keys of OCI annotations, and those of
 * label-schema.org. An image inherits the labels of its base, so that they often speak of the base: every claim is
 * heuristic, and its note says which history entry set the label, counted from 1.
 */
export function imageLabelSource(): ProvenanceSource {
  return {
    kind: 'image-label',
    async *claims({ image }: ProvenanceSubject): AsyncIterable<ProvenanceClaim> {
      if (image === undefined) return;
      const metadata = readMetadata(image.labels, true);
      const claim = toMetadataClaim('image-label', image.config.digest, metadata);
      if (claim === undefined) return;
      const origin = describeOrigin(image.history, metadata.source ?? metadata.baseName ?? metadata.revision);
      yield {
        ...claim,
        heuristic: true,
        note: claim.note === undefined ? origin : `${claim.note}; ${origin}`,
      };
    },
  };
}

function describeOrigin(history: readonly HistoryEntry[], value: string | undefined): string {
  const setAt = history.findLastIndex(
    ({ created_by: by = '' }) => by.includes('LABEL ') && by.includes(value ?? '\0'),
  );
  if (setAt < 0) return 'no LABEL instruction of the history sets it: the builder did, or it is inherited';
  return `set by history entry ${setAt + 1} of ${history.length}: inherited when that is the base's`;
}
