import { digestOf, ImagevetError, type OperationOptions, type ResolvedImage } from '@imagevet/registry';
import { parseDockerfile } from '../dockerfile/parse-dockerfile.ts';
import type { BuildParameters } from '../dockerfile/types.ts';
import type { Gap } from '../errors.ts';
import { alignHistory } from './history/align-history.ts';
import type { DockerfileRecord, ProvenanceClaim, Reachability, SourceHost, SourceLocation } from './types.ts';

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
): Promise<{ readonly record: DockerfileRecord; readonly gaps: readonly Gap[] }> {
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
  return { record: rest.record, gaps: [...found.gaps, gap, ...rest.gaps] };
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
 * none can be, the first claim stands with the reason its bytes are missing.
 */
export async function findDockerfile(
  claims: readonly ProvenanceClaim[],
  host: SourceHost | undefined,
  node: string,
  options: OperationOptions,
): Promise<{ readonly record: DockerfileRecord; readonly gaps: readonly Gap[] }> {
  const gaps: Gap[] = [];
  const tried = new Set<string>();
  let missing: DockerfileRecord | undefined;
  // A Dockerfile guessed from the image stands behind every one that was written.
  const guessed = claims.filter(
    ({ dockerfile, heuristic }) => dockerfile !== undefined && heuristic === true,
  );
  for (const claim of [...claims.filter((other) => !guessed.includes(other)), ...guessed]) {
    const { location } = claim;
    if (claim.dockerfile !== undefined) {
      const record = embedded(claim, claim.dockerfile);
      if (location === undefined || host?.supports(location.repository) !== true) return { record, gaps };
      const reachability = await checkReachability(host, location, node, gaps, options);
      if (reachability === 'reachable') {
        await checkEmbedded(claim.dockerfile, location, host, node, gaps, options);
      }
      return { record: { ...record, ...(await contextTree(host, location, options)), reachability }, gaps };
    }
    if (location === undefined || tried.has(mark(location))) continue;
    tried.add(mark(location));
    const stands = {
      location,
      kind: claim.kind,
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
      const { content, url } = await host.readFile(
        location.repository,
        location.commit,
        location.path,
        options,
      );
      const reachability = await checkReachability(host, location, node, gaps, options);
      const text = new TextDecoder().decode(content);
      return {
        record: {
          ...{ ...stands, status: 'found', url, text, digest: digestOf(content), reachability },
          ...(await contextTree(host, location, options)),
        },
        gaps,
      };
    } catch (error) {
      if (options.signal?.aborted === true) throw options.signal.reason;
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
  const message = 'no source names its Dockerfile';
  return {
    record: { status: 'not-named', reachability: 'unchecked', consistency: 'unchecked' },
    gaps: [...gaps, { stage: 'provenance', code: 'DOCKERFILE_NOT_NAMED', message, node }],
  };
}

/** Without it what is rebuilt is told apart by commit. */
async function contextTree(
  host: SourceHost,
  { repository, commit, directory }: SourceLocation,
  options: OperationOptions,
): Promise<{ readonly contextTree?: string }> {
  try {
    const tree = await host.treeOf?.(repository, commit, directory, options);
    return tree === undefined ? {} : { contextTree: tree };
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (!ImagevetError.is(error)) throw error;
    return {};
  }
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

/** A commit that only a fork holds can be read through its parent's address; such a commit is a gap. */
async function checkReachability(
  host: SourceHost,
  location: SourceLocation,
  node: string,
  gaps: Gap[],
  options: OperationOptions,
): Promise<Reachability> {
  const where = `${location.repository} ${location.commit}`;
  try {
    const ref = location.ref === undefined ? {} : { ref: location.ref };
    const reachability = await host.reachability(location.repository, location.commit, {
      ...options,
      ...ref,
    });
    if (reachability === 'unreachable') {
      const message = `${where} is in no branch or tag of the repository: it may come from a fork`;
      gaps.push({ stage: 'provenance', code: 'SOURCE_COMMIT_UNREACHABLE', message, node });
    }
    return reachability;
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (!ImagevetError.is(error)) throw error;
    const message = `whether ${where} is in the repository's history could not be checked: ${error.message}`;
    gaps.push({ stage: 'provenance', code: error.code, message, node });
    return 'unchecked';
  }
}

/** Whoever made the image wrote what is embedded in it; only its repository says that the file is its own. */
async function checkEmbedded(
  text: string,
  location: SourceLocation,
  host: SourceHost,
  node: string,
  gaps: Gap[],
  options: OperationOptions,
): Promise<void> {
  const { repository, commit, path } = location;
  const subject = `the Dockerfile embedded in the image's provenance`;
  try {
    const { content } = await host.readFile(repository, commit, path, options);
    if (new TextDecoder().decode(content) === text) return;
    const message = `${subject} is not ${path} of ${repository} at ${commit}`;
    gaps.push({ stage: 'provenance', code: 'SOURCE_DOCKERFILE_DIFFERS', message, node });
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (!ImagevetError.is(error)) throw error;
    const message = `${subject} could not be held against ${path} of ${repository}: ${error.message}`;
    gaps.push({ stage: 'provenance', code: error.code, message, node });
  }
}

function mark(location: SourceLocation): string {
  return `${location.repository} at ${location.commit}, ${location.path}`;
}
