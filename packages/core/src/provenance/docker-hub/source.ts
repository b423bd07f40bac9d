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
   * Reads the repository official descriptions are made from, when asked as of a date, since Hub itself keeps no
   * history, and where Hub left the tag list out. Without it there are no claims as of a date.
   */
  readonly host?: SourceHost;
  /** @defaultValue `https://github.com/docker-library/docs` */
  readonly docsRepository?: string;
}

/**
 * Creates the source that reads an image's description on Docker Hub and follows the link of its tag to a
 * Dockerfile: what a person would do. Where Docker Hub left the tag list out for its length, the repository the description is
 * made from is read instead, and the claim says so. Claims for anything but an official image are heuristic, since a
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
      const { asOf } = subject;
      if (asOf !== undefined) refuseUnrecorded(image);
      const docs = { ...options, host };
      const description =
        asOf === undefined
          ? await sharedDescription(image, services, { ...operation, cache })
          : await readDocs(image, docs, { ...operation, asOf });
      if (description === undefined) return;
      if (!image.official) {
        yield* freeFormClaims(description, image, host, operation);
        return;
      }
      const claims = [...officialClaims(description, image, subject)];
      yield* claims;
      if (claims.length > 0 || !parseDescriptionLinks(description.text).truncated) return;
      const whole = asOf === undefined ? await readDocs(image, docs, operation) : undefined;
      if (whole === undefined) throw trimmed(image, description.url);
      yield* officialClaims(
        whole,
        image,
        subject,
        'Docker Hub left the tag list out, since the text is too long',
      );
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
/** Bytes Docker Hub takes; of a longer text the tag list is left out first. */
const HUB_LIMIT = 25_000;

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

/** Descriptions of one architecture are on branches that hold nothing but the present. */
function refuseUnrecorded(image: HubImage): void {
  if (!image.official || image.namespace === 'library') return;
  const what = `the description of ${image.namespace}/${image.name}`;
  throw new CoreError('SOURCE_UNSUPPORTED', `${what} has no history: only what it says now is kept`, {
    hint: `Ask about library/${image.name} on the platform of ${image.namespace}.`,
  });
}

function trimmed(image: HubImage, url: string): CoreError {
  const what = `the description of ${image.namespace}/${image.name}`;
  return new CoreError(
    'SOURCE_LIMIT_EXCEEDED',
    `${what} lists no tags at ${url}: it was cut at ${HUB_LIMIT} bytes`,
    { hint: 'Give dockerHubSource() a host: the docs repository holds the whole text.', details: { url } },
  );
}

/** What official descriptions are made from, as of a time or now. */
async function readDocs(
  image: HubImage,
  options: DockerHubOptions,
  operation: OperationOptions & { readonly asOf?: Date },
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
  remark?: string,
): Iterable<ProvenanceClaim> {
  const { links } = parseDescriptionLinks(text);
  const isLong = subject.asOf !== undefined && Buffer.byteLength(text) > HUB_LIMIT;
  const about = remark ?? (isLong ? 'Docker Hub cannot have shown it: the text is too long' : undefined);
  const matching = links.filter((link) => link.tags.includes(image.tag));
  // The list links the amd64 source of a tag that has one; on other platforms it can be another commit.
  const foreign = image.namespace === 'library' && !architecturesOf(subject.platform).includes('amd64');
  for (const link of matching) {
    yield toClaim(link, { count: matching.length, foundAt: url, asOf: subject.asOf, foreign, remark: about });
  }
}

function toClaim(
  link: TagLink,
  {
    count,
    foundAt,
    asOf,
    foreign,
    remark,
  }: {
    readonly count: number;
    readonly foundAt: string;
    readonly asOf: Date | undefined;
    /** Found for another architecture. */
    readonly foreign: boolean;
    readonly remark: string | undefined;
  },
): ProvenanceClaim {
  const notes = [
    ...(remark === undefined ? [] : [remark]),
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
