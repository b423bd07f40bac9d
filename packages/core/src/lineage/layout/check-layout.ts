import { formatReference, ImagevetError, type OperationOptions, resolveImage } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import type { CheckedSubject } from '../dockerfile/check-repository.ts';
import type { DockerfileRecord, SourceHost } from '../types.ts';
import { compareLayout } from './compare-layout.ts';
import { layoutSource } from './layout-source.ts';

/** What the layout an image is taken over from says of it. */
export interface LayoutCheck {
  readonly facts: Pick<DockerfileRecord, 'layout'> &
    Partial<Pick<DockerfileRecord, 'consistency' | 'inconsistency'>>;
  readonly gaps: readonly Gap[];
}

/**
 * Holds an image against the OCI layout it is said to be taken over from. Layers are not read: a config names each by the digest
 * of its content. That the layout cannot be read is a gap.
 */
export async function checkLayout(
  { status, location }: DockerfileRecord,
  host: SourceHost,
  { node, image }: CheckedSubject,
  options: OperationOptions,
): Promise<LayoutCheck> {
  if (status !== 'imported' || location === undefined || image === undefined) return { facts: {}, gaps: [] };
  const { repository, commit, path } = location;
  const where = `${path} of ${repository} at ${commit}`;
  try {
    const source = layoutSource(host, location);
    const { reference, platform } = image;
    const found = await resolveImage({ ...reference, digest: undefined }, { source, platform, ...options });
    const layout = compareLayout(found, image);
    if (layout.match !== 'none') return { facts: { layout, consistency: 'consistent' }, gaps: [] };
    const at = formatReference({ ...reference, tag: undefined, digest: image.manifest.digest });
    const message = `${at} is not the image in ${where}: ${layout.difference}`;
    return { facts: { layout, consistency: 'inconsistent', inconsistency: { message } }, gaps: [] };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    const message = `the image could not be held against ${where}: ${error.message}`;
    return { facts: {}, gaps: [{ stage: 'provenance', code: error.code, message, node }] };
  }
}
