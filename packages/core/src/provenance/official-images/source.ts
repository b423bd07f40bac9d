import { formatPlatform, type ImageReference, type OperationOptions } from '@imagevet/registry';
import { CoreError } from '../../errors.ts';
import { sharedHost } from '../../lineage/shared-services.ts';
import type {
  ClaimsOptions,
  ProvenanceClaim,
  ProvenanceSource,
  ProvenanceSubject,
  SourceHost,
  SourceLocation,
} from '../../lineage/types.ts';
import { isCommitId, toRepositoryPath, toRepositoryUrl } from '../location.ts';
import { ARCHITECTURES, architectureOfNamespace, architecturesOf } from './architectures.ts';
import { type LibraryCandidate, parseLibraryFile, resolveLibraryTag } from './library-file.ts';
import type { LibraryBuild, LibraryFile } from './types.ts';
import { matchesVersion } from './windows.ts';

/** Options of {@link officialImagesSource}. */
export interface OfficialImagesOptions {
  /** Reads the repository and its history. */
  readonly host: SourceHost;
  /** @defaultValue `https://github.com/docker-library/official-images` */
  readonly repository?: string;
}

/**
 * Creates the source that reads `library/<name>` of Docker's official images: what Docker's own build uses. With
 * `asOf` it reads the newest version not after that time. Answers for `docker.io/library/<name>` and the
 * namespaces of one architecture (`docker.io/arm64v8/<name>`); a tag with several candidates gives several claims.
 * A tag that is listed, but not for the platform, gives a claim that says so (`notListed`).
 */
export function officialImagesSource(options: OfficialImagesOptions): ProvenanceSource {
  const { repository = 'https://github.com/docker-library/official-images' } = options;
  return {
    kind: 'official-images',
    needsImage: false,
    async *claims(
      subject: ProvenanceSubject,
      { cache, ...operation }: ClaimsOptions = {},
    ): AsyncIterable<ProvenanceClaim> {
      const image = toOfficialImage(subject.reference);
      if (image === undefined) return;
      const host = cache === undefined ? options.host : sharedHost(options.host, cache);
      const file = await readLibrary(host, repository, image.name, { ...operation, asOf: subject.asOf });
      if (file === undefined) return;
      const library = parseLibraryFile(file.text);
      const candidates = findCandidates(library, image, subject);
      for (const candidate of candidates) {
        yield toClaim(candidate, candidates.length, file.url, subject.asOf);
      }
      if (candidates.length === 0) yield* notListed(library, image, file.url, subject);
    },
  };
}

interface OfficialImage {
  readonly name: string;
  readonly tag: string;
  /** Set in a namespace that holds one architecture. */
  readonly architecture?: string;
}

function toOfficialImage(reference: ImageReference): OfficialImage | undefined {
  const [namespace = '', name, ...more] = reference.repository.split('/');
  // A digest alone names no tag, and the library file knows nothing else.
  const tag = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined);
  if (reference.registry !== 'docker.io' || name === undefined || more.length > 0 || tag === undefined) {
    return undefined;
  }
  if (namespace === 'library') return { name, tag };
  const architecture = architectureOfNamespace(namespace);
  return architecture === undefined ? undefined : { name, tag, architecture };
}

async function readLibrary(
  host: SourceHost,
  repository: string,
  name: string,
  options: OperationOptions & { readonly asOf?: Date },
): Promise<{ readonly text: string; readonly url: string } | undefined> {
  try {
    const commit = await host.commitOf(repository, `library/${name}`, options);
    const { content, url } = await host.readFile(repository, commit, `library/${name}`, options);
    return { text: new TextDecoder().decode(content), url };
  } catch (error) {
    // Not an official image (any more) at that time.
    if (error instanceof CoreError && error.code === 'SOURCE_NOT_FOUND') return undefined;
    throw error;
  }
}

function findCandidates(
  file: LibraryFile,
  image: OfficialImage,
  subject: ProvenanceSubject,
): readonly LibraryCandidate[] {
  const architectures =
    image.architecture === undefined ? architecturesOf(subject.platform) : [image.architecture];
  for (const architecture of architectures) {
    const all = resolveLibraryTag(file, image.tag, architecture);
    const version = subject.platform['os.version'];
    const fitting = all.filter(({ entry }) => matchesVersion(entry.constraints, version));
    if (all.length > 0) return fitting.length > 0 ? fitting : all;
  }
  return [];
}

function* notListed(
  { entries }: LibraryFile,
  { tag, architecture }: OfficialImage,
  foundAt: string,
  { platform, asOf }: ProvenanceSubject,
): Iterable<ProvenanceClaim> {
  const own = entries.filter(({ tags, sharedTags }) => tags.includes(tag) || sharedTags.includes(tag));
  const [first] = own;
  if (first === undefined) return;
  const architectures = new Set(own.flatMap(({ builds }) => builds.map((build) => build.architecture)));
  const listedFor = [...architectures].sort().map((name) => formatPlatform(ARCHITECTURES.get(name)!));
  const asked = formatPlatform(architecture === undefined ? platform : ARCHITECTURES.get(architecture)!);
  yield {
    kind: 'official-images',
    foundAt: `${foundAt}#L${first.line}`,
    notListed: { platform: asked, listedFor },
    ...(asOf === undefined ? {} : { asOf: asOf.toISOString() }),
    note: `the tag is listed for ${listedFor.join(', ')}, and not for ${asked}`,
  };
}

function toClaim(
  { entry, build }: LibraryCandidate,
  count: number,
  foundAt: string,
  asOf: Date | undefined,
): ProvenanceClaim {
  const location = toSourceLocation(build);
  const notes = [
    ...(count > 1 ? [`one of ${count} sources of this tag: ${entry.tags[0]}`] : []),
    ...(build.builder === 'oci-import'
      ? [`${build.file} is an OCI layout that is imported, not a Dockerfile`]
      : []),
    ...(location === undefined
      ? [`names no full commit: ${build.gitRepo} ${build.gitCommit ?? build.gitFetch ?? ''}`]
      : []),
  ];
  return {
    kind: 'official-images',
    foundAt: `${foundAt}#L${entry.line}`,
    ...(location === undefined ? {} : { location }),
    ...(build.builder === undefined ? {} : { builder: build.builder }),
    ...(asOf === undefined ? {} : { asOf: asOf.toISOString() }),
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
  };
}

function toSourceLocation(build: LibraryBuild): SourceLocation | undefined {
  const repository = toRepositoryUrl(build.gitRepo);
  const path = toRepositoryPath(`${build.directory}/${build.file}`);
  const { gitCommit: commit } = build;
  if (repository === undefined || path === undefined || commit === undefined || !isCommitId(commit)) {
    return undefined;
  }
  return {
    repository,
    commit,
    directory: build.directory,
    path,
    ...(build.gitFetch === undefined ? {} : { ref: build.gitFetch }),
  };
}
