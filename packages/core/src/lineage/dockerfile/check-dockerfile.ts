import { ImagevetError, type OperationOptions } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import { checkLayout, type LayoutCheck } from '../layout/check-layout.ts';
import type { DockerfileRecord, Reachability, SourceHost, SourceLocation } from '../types.ts';
import { type CheckedSubject, checkRepository } from './check-repository.ts';
import type { FoundDockerfile } from './find-dockerfile.ts';

/** What its repository says of a Dockerfile. */
export interface DockerfileCheck {
  readonly facts: Pick<DockerfileRecord, 'reachability' | 'contextTree' | 'repository'> &
    LayoutCheck['facts'];
  readonly gaps: readonly Gap[];
}

/**
 * Asks the repository a Dockerfile is said to come from: which one it is, whether the commit is its own, which tree the build
 * context is, and, where the image brought its Dockerfile along, whether that is the file the repository has; of an OCI layout,
 * whether the image is the one in it.
 */
export async function checkDockerfile(
  { record, claim }: FoundDockerfile,
  host: SourceHost | undefined,
  subject: CheckedSubject,
  options: OperationOptions,
): Promise<DockerfileCheck> {
  const { node } = subject;
  const { location, reachability } = record;
  if (location === undefined || host?.supports(location.repository) !== true) {
    return { facts: { reachability }, gaps: [] };
  }
  const identifying = checkRepository(record, host, subject, options);
  if (claim === undefined) {
    const { gaps, ...repository } = await identifying;
    return { facts: { ...repository, reachability }, gaps };
  }
  const [tree, reached, { gaps, ...repository }, layout] = await Promise.all([
    contextTree(host, location, options),
    checkReachability(host, location, node, options),
    identifying,
    checkLayout(record, host, subject, options),
  ]);
  const differs =
    claim.dockerfile !== undefined && reached.reachability === 'reachable'
      ? await checkEmbedded(claim.dockerfile, location, host, node, options)
      : [];
  return {
    facts: { ...tree, ...repository, ...layout.facts, reachability: reached.reachability },
    gaps: [...reached.gaps, ...gaps, ...differs, ...layout.gaps],
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
    options.signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    return {};
  }
}

/** A commit that only a fork holds can be read through its parent's address; such a commit is a gap. */
async function checkReachability(
  host: SourceHost,
  { repository, commit, ref }: SourceLocation,
  node: string,
  options: OperationOptions,
): Promise<{ readonly reachability: Reachability; readonly gaps: readonly Gap[] }> {
  const where = `${repository} ${commit}`;
  try {
    const named = ref === undefined ? {} : { ref };
    const reachability = await host.reachability(repository, commit, { ...options, ...named });
    if (reachability !== 'unreachable') return { reachability, gaps: [] };
    const message = `${where} is in no branch or tag of the repository: it may come from a fork`;
    const gap: Gap = { stage: 'provenance', code: 'SOURCE_COMMIT_UNREACHABLE', message, node };
    return { reachability, gaps: [gap] };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    const message = `whether ${where} is in the repository's history could not be checked: ${error.message}`;
    return {
      reachability: 'unchecked',
      gaps: [{ stage: 'provenance', code: error.code, message, node }],
    };
  }
}

/** Whoever made the image wrote what is embedded in it; only its repository says that the file is its own. */
async function checkEmbedded(
  text: string,
  { repository, commit, path }: SourceLocation,
  host: SourceHost,
  node: string,
  options: OperationOptions,
): Promise<readonly Gap[]> {
  const subject = `the Dockerfile embedded in the image's provenance`;
  try {
    const { content } = await host.readFile(repository, commit, path, options);
    if (new TextDecoder().decode(content) === text) return [];
    const message = `${subject} is not ${path} of ${repository} at ${commit}`;
    return [{ stage: 'provenance', code: 'SOURCE_DOCKERFILE_DIFFERS', message, node }];
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    const message = `${subject} could not be held against ${path} of ${repository}: ${error.message}`;
    return [{ stage: 'provenance', code: error.code, message, node }];
  }
}
