import { digestOf, ImagevetError, type OperationOptions, type ResolvedImage } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { BuildParameters } from '../../dockerfile/types.ts';
import type { Gap } from '../../errors.ts';
import { alignHistory } from '../history/align-history.ts';
import type { DockerfileRecord, ProvenanceClaim, SourceHost, SourceLocation } from '../types.ts';
import { listed } from './listed.ts';

/** The Dockerfile the best claim names, before anything is known of its commit. */
export interface FoundDockerfile {
  readonly record: DockerfileRecord;
  readonly gaps: readonly Gap[];
  /** The claim it was taken from, when its bytes are at hand. */
  readonly claim?: ProvenanceClaim;
}

const STATUS: Readonly<Record<string, DockerfileRecord['status']>> = {
  SOURCE_COMMIT_NOT_FOUND: 'commit-unreachable',
  SOURCE_NOT_FOUND: 'file-missing',
};

/**
 * As {@link findDockerfile}, but refuses the Dockerfile a label names when the image's history says that it is another's: an
 * image inherits the labels of its base, and with them the name of its base's Dockerfile.
 */
export async function findOwnDockerfile(
  claims: readonly ProvenanceClaim[],
  host: SourceHost | undefined,
  { node, image }: { readonly node: string; readonly image?: ResolvedImage },
  options: OperationOptions,
): Promise<FoundDockerfile> {
  const found = await findDockerfile(claims, host, node, options);
  const { kind, text, location } = found.record;
  if (kind !== 'image-label' || text === undefined || image === undefined) return found;
  const parameters = claims.find((claim) => claim.parameters !== undefined)?.parameters;
  const problem = misfit(text, image, parameters);
  if (problem === undefined) return found;
  const where = `${location?.path} of ${location?.repository} at ${location?.commit}`;
  const message = `its labels name ${where}, which did not make it (${problem}): labels are inherited from the base`;
  const unlabelled = claims.filter((claim) => claim.kind !== 'image-label');
  const rest = await findDockerfile(unlabelled, host, node, options);
  const gap: Gap = { stage: 'provenance', code: 'LABEL_INHERITED', message, node };
  return { ...rest, gaps: [...found.gaps, gap, ...rest.gaps] };
}

function misfit(
  text: string,
  { platform, history, diffIds }: ResolvedImage,
  parameters: BuildParameters | undefined,
): string | undefined {
  try {
    const dockerfile = parseDockerfile(text, { platform, ...parameters });
    const alignment = alignHistory(dockerfile, history, { layers: diffIds.length });
    return alignment.inconsistency?.message;
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    return undefined;
  }
}

/**
 * Reads the Dockerfile the best claim names. Claims are tried in order; the first whose bytes can be read wins, and where
 * none can be, the first claim stands with the reason its bytes are missing. A description of a name that is not listed for the
 * platform is not followed: what it links makes the image of another.
 */
export async function findDockerfile(
  claims: readonly ProvenanceClaim[],
  host: SourceHost | undefined,
  node: string,
  options: OperationOptions,
): Promise<FoundDockerfile> {
  const gaps: Gap[] = [];
  const tried = new Set<string>();
  let missing: DockerfileRecord | undefined;
  const { credible, problem } = listed(claims);
  for (const claim of inOrder(credible)) {
    const { location } = claim;
    if (claim.dockerfile !== undefined) return { record: embedded(claim, claim.dockerfile), gaps, claim };
    if (location === undefined || tried.has(mark(location))) continue;
    tried.add(mark(location));
    const stands = {
      location,
      kind: claim.kind,
      ...(claim.builder === undefined ? {} : { builder: claim.builder }),
      reachability: 'unchecked',
      consistency: 'unchecked',
    } as const;
    if (host?.supports(location.repository) !== true) {
      const message = `no source host reads ${location.repository}`;
      const hint = 'Give a source host that reads this repository.';
      gaps.push({ stage: 'provenance', code: 'SOURCE_UNSUPPORTED', message, node, hint });
      missing ??= { ...stands, status: 'host-unreachable' };
      continue;
    }
    try {
      const { repository, commit, path } = location;
      const { content, url } = await host.readFile(repository, commit, path, options);
      const read = { ...stands, url, digest: digestOf(content) };
      if (claim.builder === 'oci-import') return { record: { ...read, status: 'imported' }, gaps, claim };
      const text = new TextDecoder().decode(content);
      return { record: { ...read, status: 'found', text }, gaps, claim };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!ImagevetError.is(error)) throw error;
      gaps.push({
        stage: 'provenance',
        code: error.code,
        message: error.message,
        node,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
      const status = STATUS[error.code] ?? 'host-unreachable';
      // A commit the repository does not hold is in none of its branches; that it is gone has been said.
      const reachability = status === 'commit-unreachable' ? 'unreachable' : 'unchecked';
      missing ??= { ...stands, status, reachability };
    }
  }
  if (missing !== undefined) return { record: missing, gaps };
  const why =
    problem === undefined
      ? { code: 'DOCKERFILE_NOT_NAMED', message: 'no source names its Dockerfile' }
      : { code: 'PLATFORM_NOT_LISTED', message: `no source names its Dockerfile: ${problem}` };
  return {
    record: { status: 'not-named', reachability: 'unchecked', consistency: 'unchecked' },
    gaps: [...gaps, { stage: 'provenance', ...why, node }],
  };
}

/** A Dockerfile guessed from the image stands behind every one that was written. */
function inOrder(claims: readonly ProvenanceClaim[]): readonly ProvenanceClaim[] {
  const guessed = claims.filter(
    ({ dockerfile, heuristic }) => dockerfile !== undefined && heuristic === true,
  );
  return [...claims.filter((claim) => !guessed.includes(claim)), ...guessed];
}

function embedded(claim: ProvenanceClaim, text: string): DockerfileRecord {
  return {
    status: 'found',
    ...(claim.location === undefined ? {} : { location: claim.location }),
    kind: claim.kind,
    url: claim.foundAt,
    text,
    digest: digestOf(text),
    reachability: 'unchecked',
    consistency: 'unchecked',
  };
}

function mark(location: SourceLocation): string {
  return `${location.repository} at ${location.commit}, ${location.path}`;
}
