import type { ImageReference, OperationOptions } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { sharedHost } from '../../lineage/shared-services.ts';
import type {
  ClaimsOptions,
  ProvenanceClaim,
  ProvenanceSource,
  ProvenanceSubject,
  SourceHost,
} from '../../lineage/types.ts';
import { isCommitId } from '../location.ts';
import { architectureOfNamespace, architecturesOf } from '../official-images/architectures.ts';
import { type HttpOptions, WebClient } from '../web/web-client.ts';
import { findDockerfileLinks, parseDescriptionLinks, type TagLink } from './description.ts';

/** Options of {@link dockerHubSource}. */
export interface DockerHubOptions extends HttpOptions {
  /** @defaultValue `https://hub.docker.com` */
  readonly hubUrl?: string;
  /**
   * Reads the repository official descriptions are made from, when asked as of a date: Hub itself keeps no
   * history. Without it there are no claims as of a date.
   */
  readonly host?: SourceHost;
  /** @defaultValue `https://github.com/docker-library/docs` */
  readonly docsRepository?: string;
}

/**
 * Creates the source that reads an image's description on Docker Hub and follows the link of its tag to a
 * Dockerfile: what a person would do. Claims for anything but an official image are heuristic, since a
 * description can link anywhere; only links to a repository of the same owner count.
 */
export function dockerHubSource(options: DockerHubOptions = {}): ProvenanceSource {
  const services: HubServices = { ...options, web: new WebClient(options, MAX_DESCRIPTION) };
  return {
    kind: 'docker-hub-description',
    needsImage: false,
    async *claims(
      subject: ProvenanceSubject,
      { cache, ...operation }: ClaimsOptions = {},
    ): AsyncIterable<ProvenanceClaim> {
      const image = toHubImage(subject.reference);
      if (image === undefined) return;
      const host =
        cache === undefined || options.host === undefined ? options.host : sharedHost(options.host, cache);
      const description =
        subject.asOf === undefined
          ? await sharedDescription(image, services, { ...operation, cache })
          : await readHistory(image, { ...options, host }, { ...operation, asOf: subject.asOf });
      if (description === undefined) return;
      if (image.official) yield* officialClaims(description, image, subject);
      else yield* freeFormClaims(description, image, host, operation);
    },
  };
}

interface HubServices extends DockerHubOptions {
  readonly web: WebClient;
}

interface HubImage {
  readonly namespace: string;
  readonly name: string;
  readonly tag: string;
  readonly official: boolean;
}

interface Description {
  readonly text: string;
  readonly url: string;
}

const MAX_DESCRIPTION = 4 * 1024 * 1024;

function toHubImage({ registry, repository, tag, digest }: ImageReference): HubImage | undefined {
  const [namespace = '', name, ...more] = repository.split('/');
  const named = tag ?? (digest === undefined ? 'latest' : undefined);
  if (registry !== 'docker.io' || name === undefined || more.length > 0 || named === undefined)
    return undefined;
  const official = namespace === 'library' || architectureOfNamespace(namespace) !== undefined;
  return { namespace, name, tag: named, official };
}

/** All tags of a repository have one description. */
function sharedDescription(
  image: HubImage,
  services: HubServices,
  { cache, signal }: ClaimsOptions,
): Promise<Description | undefined> {
  if (cache === undefined) return readDescription(image, services, { signal });
  const load = (own: AbortSignal) => readDescription(image, services, { signal: own });
  return cache.remember(services, `description ${image.namespace}/${image.name}`, load, { signal });
}

async function readDescription(
  image: HubImage,
  { web, hubUrl = 'https://hub.docker.com' }: HubServices,
  { signal }: OperationOptions,
): Promise<Description | undefined> {
  const operation = `read the description of ${image.namespace}/${image.name}`;
  const url = `${hubUrl}/v2/repositories/${image.namespace}/${image.name}/`;
  const answer = await web.read(url, { operation, maxBytes: MAX_DESCRIPTION, signal });
  if (answer.status === 404) return undefined;
  const text = answer.status === 200 ? fullDescription(answer.body.toString('utf8')) : undefined;
  if (text === undefined) {
    throw new CoreError(
      'SOURCE_INVALID',
      `${operation}: expected a JSON repository, received status ${answer.status}`,
      {
        details: { status: answer.status },
      },
    );
  }
  return { text, url: answer.url };
}

function fullDescription(json: string): string | undefined {
  try {
    const body: unknown = JSON.parse(json);
    if (typeof body !== 'object' || body === null || !('full_description' in body)) return undefined;
    return typeof body.full_description === 'string' ? body.full_description : '';
  } catch {
    return undefined;
  }
}

async function readHistory(
  image: HubImage,
  options: DockerHubOptions,
  operation: OperationOptions & { readonly asOf: Date },
): Promise<Description | undefined> {
  const { host, docsRepository = 'https://github.com/docker-library/docs' } = options;
  // The default branch holds the descriptions of library/ only.
  if (host === undefined || image.namespace !== 'library') return undefined;
  try {
    const path = `${image.name}/README.md`;
    const commit = await host.commitOf(docsRepository, path, operation);
    const { content, url } = await host.readFile(docsRepository, commit, path, operation);
    return { text: new TextDecoder().decode(content), url };
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_NOT_FOUND') return undefined;
    throw error;
  }
}

function* officialClaims(
  { text, url }: Description,
  image: HubImage,
  subject: ProvenanceSubject,
): Iterable<ProvenanceClaim> {
  const { links } = parseDescriptionLinks(text);
  const matching = links.filter((link) => link.tags.includes(image.tag));
  // The list links the amd64 source of a tag that has one; on other platforms it can be another commit.
  const foreign = image.namespace === 'library' && !architecturesOf(subject.platform).includes('amd64');
  for (const link of matching) yield toClaim(link, matching.length, url, subject.asOf, foreign);
}

function toClaim(
  link: TagLink,
  count: number,
  foundAt: string,
  asOf: Date | undefined,
  foreign: boolean,
): ProvenanceClaim {
  const notes = [
    ...(count > 1 ? [`one of ${count} links for this tag`] : []),
    ...(foreign ? ['descriptions link the amd64 source'] : []),
    ...(link.location === undefined ? [`links no commit: ${link.url ?? 'no link'}`] : []),
  ];
  return {
    kind: 'docker-hub-description',
    foundAt: `${foundAt}#L${link.line}`,
    ...(link.location === undefined ? {} : { location: link.location }),
    ...(foreign ? { heuristic: true } : {}),
    ...(asOf === undefined ? {} : { asOf: asOf.toISOString() }),
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
  };
}

/** A free-form description counts when it links one Dockerfile, or one under the tag's name. */
async function* freeFormClaims(
  { text, url }: Description,
  image: HubImage,
  host: SourceHost | undefined,
  operation: OperationOptions,
): AsyncIterable<ProvenanceClaim> {
  const own = findDockerfileLinks(text).filter(({ link }) => sameOwner(link.repository, image.namespace));
  const named = own.filter((found) => found.text.includes(`\`${image.tag}\``));
  const [chosen, ...others] = named.length > 0 ? named : own;
  if (chosen === undefined || others.some(({ link }) => link.path !== chosen.link.path)) return;
  const { repository, path, ref } = chosen.link;
  const commit = isCommitId(ref) ? ref : await newestCommit(host, repository, path, operation);
  const slash = path.lastIndexOf('/');
  const directory = slash < 0 ? '.' : path.slice(0, slash);
  const how =
    commit === ref ? '' : commit === undefined ? ', which names no commit' : ', read at the newest commit';
  yield {
    kind: 'docker-hub-description',
    foundAt: url,
    ...(commit === undefined ? {} : { location: { repository, commit, directory, path } }),
    heuristic: true,
    note: `linked as ${chosen.url}${how}`,
  };
}

/** A link to a branch is read at what the default branch holds; a dead link is a claim without a place. */
async function newestCommit(
  host: SourceHost | undefined,
  repository: string,
  path: string,
  operation: OperationOptions,
): Promise<string | undefined> {
  if (host?.supports(repository) !== true) return undefined;
  try {
    return await host.commitOf(repository, path, operation);
  } catch (error) {
    if (error instanceof CoreError && error.code === 'SOURCE_NOT_FOUND') return undefined;
    throw error;
  }
}

function sameOwner(repository: string, namespace: string): boolean {
  return new URL(repository).pathname.split('/')[1]?.toLowerCase() === namespace.toLowerCase();
}
