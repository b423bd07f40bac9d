import type { ProvenanceClaim, ProvenanceSource, ProvenanceSubject } from '../../lineage/types.ts';
import { readMetadata, toMetadataClaim } from './metadata-claim.ts';

/**
 * Creates the source that reads the annotations of the manifest: `source` (also as `<repository>#<commit>:<directory>`),
 * `revision`, `base.name` and `base.digest`. They belong to this very image, but whoever built it wrote them.
 *
 * @see OCI image-spec, annotations.md
 */
export function ociAnnotationSource(): ProvenanceSource {
  return {
    kind: 'oci-annotation',
    async *claims({ image }: ProvenanceSubject): AsyncIterable<ProvenanceClaim> {
      if (image === undefined) return;
      const claim = toMetadataClaim(
        'oci-annotation',
        image.manifest.digest,
        readMetadata(image.annotations, false),
      );
      if (claim !== undefined) yield claim;
    },
  };
}
