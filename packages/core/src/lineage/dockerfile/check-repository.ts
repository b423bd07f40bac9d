import { ImagevetError, type OperationOptions, type ResolvedImage } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import type { DockerfileRecord, ProvenanceKind, RepositoryRecord, SourceHost } from '../types.ts';

/** The image a Dockerfile is said to be of. */
export interface CheckedSubject {
  /** Id of its node. */
  readonly node: string;
  readonly image?: ResolvedImage;
  /** Time as of which sources were asked, when not now. */
  readonly upTo?: Date;
}

/**
 * Asks which repository the name in a claim leads to. Whoever gives a name up, by renaming or deleting, leaves it to
 * whoever registers it next: a repository that was made after its name was written down is another than was meant.
 */
export async function checkRepository(
  { location, kind }: DockerfileRecord,
  host: SourceHost,
  subject: CheckedSubject,
  options: OperationOptions,
): Promise<{ readonly repository?: RepositoryRecord; readonly gaps: readonly Gap[] }> {
  if (location === undefined || host.identityOf === undefined) return { gaps: [] };
  const { repository: named } = location;
  try {
    const identity = await host.identityOf(named, options);
    if (identity === undefined) return { gaps: [] };
    const { createdAt, repository: url } = identity;
    const written = writtenAt(kind, subject);
    if (createdAt !== undefined && written !== undefined && Date.parse(createdAt) > written + TOLERANCE_MS) {
      const when = new Date(written).toISOString();
      const message = `${named} was made at ${createdAt}, after it was named as the source at ${when}: it is not the repository that was meant`;
      const gap: Gap = {
        stage: 'provenance',
        code: 'SOURCE_REPOSITORY_REPLACED',
        message,
        node: subject.node,
      };
      return { repository: { ...identity, state: 'younger' }, gaps: [gap] };
    }
    const state = url.toLowerCase() === named.toLowerCase() ? 'as-named' : 'renamed';
    return { repository: { ...identity, state }, gaps: [] };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    const message = `which repository ${named} is could not be checked: ${error.message}`;
    return { gaps: [{ stage: 'provenance', code: error.code, message, node: subject.node }] };
  }
}

/**
 * When a claim was last written, as far as that is known: what is part of the image was written when that was made; other
 * claims stood so as of the time they were asked for. Commits are older than their repository wherever one was imported.
 */
function writtenAt(kind: ProvenanceKind | undefined, { image, upTo }: CheckedSubject): number | undefined {
  if (kind === undefined || !PARTS.has(kind)) return upTo?.getTime();
  const made = Date.parse(image?.created ?? '');
  return made >= FIRST_IMAGE ? made : undefined;
}

const PARTS: ReadonlySet<ProvenanceKind> = new Set(['buildkit-attestation', 'oci-annotation', 'image-label']);

/** Images with an earlier date carry a fixed one, that says nothing of when they were made. */
const FIRST_IMAGE = Date.parse('2013-03-01T00:00:00Z');

/** A reproducible build gives the image the time of its commit, which may be from before the first push. */
const TOLERANCE_MS = 24 * 60 * 60 * 1000;
