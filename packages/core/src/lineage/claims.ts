import { formatReference, ImagevetError, type OperationOptions } from '@imagevet/registry';
import type { Gap } from '../errors.ts';
import type {
  LineageConflict,
  LineageEvent,
  ProvenanceClaim,
  ProvenanceKind,
  ProvenanceSource,
  ProvenanceSubject,
} from './types.ts';

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

/** Asks every source at once. A source that cannot answer is a gap; the others' answers stand. */
export async function collectClaims(
  sources: readonly ProvenanceSource[],
  subject: ProvenanceSubject,
  node: string,
  options: OperationOptions & { readonly onProgress?: (event: LineageEvent) => void },
): Promise<{ readonly claims: readonly ProvenanceClaim[]; readonly gaps: readonly Gap[] }> {
  const answers = await Promise.all(
    sources.map(async (source) => {
      const claims: ProvenanceClaim[] = [];
      options.onProgress?.({ type: 'provenance-asking', node, kind: source.kind });
      try {
        for await (const claim of source.claims(subject, { signal: options.signal })) {
          claims.push(claim);
          if (claims.length >= MAX_CLAIMS) break;
        }
        return { claims, gaps: [] };
      } catch (error) {
        if (options.signal?.aborted === true) throw options.signal.reason;
        if (!ImagevetError.is(error)) throw error;
        const message = `${source.kind} could not be asked about ${formatReference(subject.reference)}: ${error.message}`;
        const hint = error.hint === undefined ? {} : { hint: error.hint };
        return { claims, gaps: [{ stage: 'provenance' as const, code: error.code, message, node, ...hint }] };
      }
    }),
  );
  const claims = answers.flatMap((answer) => answer.claims);
  return {
    claims: [...claims].sort((left, right) => rank(left) - rank(right)),
    gaps: answers.flatMap((answer) => answer.gaps),
  };
}

/** Guesses come after statements; among each, the more trustworthy kind first. */
function rank({ kind, heuristic }: ProvenanceClaim): number {
  return ORDER.indexOf(kind) + (heuristic === true ? ORDER.length : 0);
}

/**
 * Finds sources that disagree. Labels are left out where anything else speaks: a child inherits its base's labels, so they
 * often speak of the base.
 */
export function findConflicts(node: string, claims: readonly ProvenanceClaim[]): readonly LineageConflict[] {
  const firm = claims.filter(({ heuristic, kind }) => heuristic !== true && kind !== 'image-label');
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
    ...statements('source', ({ location }) =>
      location === undefined ? undefined : `${location.repository} ${location.commit} ${location.directory}`,
    ),
    ...statements('base', ({ base }) => base?.digest),
  ];
}
