import { formatPlatform, formatReference, ImagevetError, type ResolvedImage } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import type { LineageCache } from '../lineage-cache.ts';
import type {
  LineageConflict,
  LineageEvent,
  ProvenanceClaim,
  ProvenanceKind,
  ProvenanceSource,
  ProvenanceSubject,
} from '../types.ts';

/** Claims kept from one source about one image. */
const MAX_CLAIMS = 64;

const ORDER: readonly ProvenanceKind[] = [
  'buildkit-attestation',
  'oci-annotation',
  'official-images',
  'docker-hub-description',
  'image-label',
  'image-history',
];

/** What one source said. */
export interface SourceAnswer {
  readonly claims: readonly ProvenanceClaim[];
  readonly gaps: readonly Gap[];
}

/** Where the answers of sources are kept, and who is told of questions. */
export interface AskOptions {
  readonly cache: LineageCache;
  readonly signal: AbortSignal;
  readonly onProgress?: (event: LineageEvent) => void;
}

/** Asks one source. That it cannot answer is a gap; what it said before it failed stands. */
export async function askSource(
  source: ProvenanceSource,
  subject: ProvenanceSubject,
  node: string,
  { cache, signal, onProgress }: AskOptions,
): Promise<SourceAnswer> {
  onProgress?.({ type: 'provenance-asking', node, kind: source.kind });
  try {
    const load = (own: AbortSignal) => cache.limited(() => readClaims(source, subject, cache, own));
    return { claims: await cache.remember(source, keyOf(subject), load, { signal }), gaps: [] };
  } catch (failure) {
    signal.throwIfAborted();
    const error = failure instanceof Interrupted ? failure.cause : failure;
    if (!ImagevetError.is(error)) throw error;
    const message = `${source.kind} could not be asked about ${formatReference(subject.reference)}: ${error.message}`;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return {
      claims: failure instanceof Interrupted ? failure.claims : [],
      gaps: [{ stage: 'provenance', code: error.code, message, node, ...hint }],
    };
  }
}

/** A source that failed after it had said something. */
class Interrupted extends Error {
  readonly claims: readonly ProvenanceClaim[];

  constructor(claims: readonly ProvenanceClaim[], cause: unknown) {
    super('a source failed after it had said something', { cause });
    this.claims = claims;
  }
}

async function readClaims(
  source: ProvenanceSource,
  subject: ProvenanceSubject,
  cache: LineageCache,
  signal: AbortSignal,
): Promise<readonly ProvenanceClaim[]> {
  const claims: ProvenanceClaim[] = [];
  try {
    for await (const claim of source.claims(subject, { signal, cache })) {
      claims.push(claim);
      if (claims.length >= MAX_CLAIMS) break;
    }
    return claims;
  } catch (error) {
    throw claims.length === 0 ? error : new Interrupted(claims, error);
  }
}

function keyOf({ reference, platform, image, asOf }: ProvenanceSubject): string {
  const digests = ({ index, manifest }: ResolvedImage) => [index?.digest, manifest.digest];
  const about = [formatReference(reference), formatPlatform(platform), asOf?.getTime()];
  return JSON.stringify(['claims', ...about, ...(image === undefined ? [] : digests(image))]);
}

/** All answers as one, in the order of the sources: guesses come after statements, and the more trustworthy kind comes first. */
export function mergeAnswers(answers: readonly SourceAnswer[]): SourceAnswer {
  const claims = answers.flatMap((answer) => answer.claims);
  return {
    claims: claims.sort((left, right) => rank(left) - rank(right)),
    gaps: answers.flatMap((answer) => answer.gaps),
  };
}

function rank({ kind, heuristic }: ProvenanceClaim): number {
  return ORDER.indexOf(kind) + (heuristic === true ? ORDER.length : 0);
}

/**
 * Finds sources that disagree. Labels are left out where anything else speaks: a child inherits its base's labels, so they
 * often speak of the base. A description's link to a tag that is not listed for the platform is no guess but a contradiction.
 */
export function findConflicts(node: string, claims: readonly ProvenanceClaim[]): readonly LineageConflict[] {
  const isListed = claims.every(({ notListed }) => notListed === undefined);
  const firm = claims.filter(
    ({ heuristic, kind }) =>
      kind !== 'image-label' && (heuristic !== true || (!isListed && kind === 'docker-hub-description')),
  );
  const statements = (
    about: LineageConflict['about'],
    read: (claim: ProvenanceClaim) => string | undefined,
  ) => {
    const said = firm.flatMap((claim) => {
      const value = read(claim);
      return value === undefined ? [] : [{ kind: claim.kind, foundAt: claim.foundAt, value }];
    });
    return new Set(said.map(({ value }) => value)).size > 1 ? [{ node, about, statements: said }] : [];
  };
  return [
    ...statements('source', ({ location, notListed }) =>
      notListed === undefined
        ? location && `${location.repository} ${location.commit} ${location.directory}`
        : `none for ${notListed.platform}`,
    ),
    ...statements('base', ({ base }) => (base?.inferred === true ? undefined : base?.digest)),
  ];
}
