import {
  type Descriptor,
  type Digest,
  type Fetcher,
  type OperationOptions,
  type Repository,
  type ResolvedImage,
  readBlob,
} from '@imagevet/registry';
import type { BuildParameters } from '../../dockerfile/types.ts';
import { CoreError } from '../../errors.ts';
import { takenOn } from '../../lineage/base/names.ts';
import { sharedFetcher } from '../../lineage/shared-services.ts';
import type {
  ClaimsOptions,
  ProvenanceClaim,
  ProvenanceSource,
  ProvenanceSubject,
  SourceLocation,
} from '../../lineage/types.ts';
import { parseSourceAnnotation } from '../image/source-annotation.ts';
import { isCommitId, toRepositoryPath } from '../location.ts';
import { findBase } from './base-material.ts';
import { type BuildProvenance, parseProvenance } from './statement.ts';

/** Options of {@link buildkitAttestationSource}. */
export interface BuildkitAttestationOptions {
  readonly registry: Fetcher;
  /** Largest statement read, in bytes; BuildKit's own limit. @defaultValue 41943040 */
  readonly maxBytes?: number;
}

/**
 * Creates the source that reads the provenance BuildKit stores beside an image in its index: repository and commit, the
 * embedded Dockerfile (`mode=max`), and the base image by digest. Understands SLSA v0.2 and v1, and the manifest forms
 * before and since BuildKit 0.32. The statements are unsigned: they bind to the image by digest, not to a person.
 */
export function buildkitAttestationSource(options: BuildkitAttestationOptions): ProvenanceSource {
  return {
    kind: 'buildkit-attestation',
    async *claims(
      { image }: ProvenanceSubject,
      { cache, ...operation }: ClaimsOptions = {},
    ): AsyncIterable<ProvenanceClaim> {
      if (image?.index === undefined) return;
      const registry = cache === undefined ? options.registry : sharedFetcher(options.registry, cache);
      for (const attestation of await listAttestations(registry, image, operation)) {
        for (const layer of await listStatements(registry, image, attestation, operation)) {
          const statement = await readStatement(options, image.reference, layer, operation);
          const provenance = parseProvenance(statement);
          if (provenance !== undefined) yield toClaim(provenance, image, layer.digest);
        }
      }
    },
  };
}

const PREDICATES: readonly (string | undefined)[] = [
  'https://slsa.dev/provenance/v0.2',
  'https://slsa.dev/provenance/v1',
];

async function listAttestations(
  registry: Fetcher,
  image: ResolvedImage,
  operation: OperationOptions,
): Promise<readonly Descriptor[]> {
  const { registry: host, repository } = image.reference;
  const read = await registry.fetchManifest(
    { registry: host, repository, digest: image.index?.digest },
    operation,
  );
  if (read.kind !== 'index') return [];
  return read.index.manifests.filter(
    ({ annotations }) =>
      annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' &&
      annotations['vnd.docker.reference.digest'] === image.manifest.digest,
  );
}

async function listStatements(
  registry: Fetcher,
  image: ResolvedImage,
  attestation: Descriptor,
  operation: OperationOptions,
): Promise<readonly Descriptor[]> {
  const { registry: host, repository } = image.reference;
  const read = await registry.fetchManifest(
    { registry: host, repository, digest: attestation.digest },
    operation,
  );
  if (read.kind !== 'image') return [];
  const { subject, layers } = read.manifest;
  // Since BuildKit 0.32 the manifest names its subject; before, only the index did.
  if (subject !== undefined && subject.digest !== image.manifest.digest) return [];
  return layers.filter(
    (layer) =>
      layer.mediaType === 'application/vnd.in-toto+json' &&
      PREDICATES.includes(layer.annotations?.['in-toto.io/predicate-type']),
  );
}

async function readStatement(
  { registry, maxBytes = 40 * 1024 * 1024 }: BuildkitAttestationOptions,
  repository: Repository,
  layer: Descriptor,
  operation: OperationOptions,
): Promise<unknown> {
  const bytes = await readBlob(registry, repository, layer, { ...operation, maxBytes });
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new CoreError('SOURCE_INVALID', `read provenance ${layer.digest}: the statement is not JSON`, {
      cause: error,
    });
  }
}

function toClaim(provenance: BuildProvenance, image: ResolvedImage, digest: Digest): ProvenanceClaim {
  const foundAt = digest;
  if (!provenance.subjects.includes(image.manifest.digest)) {
    return { kind: 'buildkit-attestation', foundAt, note: 'ignored: the statement is about another image' };
  }
  const layers = image.layers.map((layer) => layer.digest);
  const base = findBase(provenance, layers);
  const location = toLocation(provenance);
  const dockerfile = findDockerfile(provenance);
  const parameters = parametersOf(provenance);
  const { platform: on } = takenOn(provenance.builderPlatform);
  const notes = [
    `SLSA ${provenance.version}, unsigned`,
    ...(provenance.builderId === undefined ? [] : [`built by ${provenance.builderId}`]),
    ...(provenance.finishedOn === undefined ? [] : [`finished ${provenance.finishedOn}`]),
    ...(dockerfile === undefined ? ['no Dockerfile embedded (mode=min)'] : []),
  ];
  return {
    kind: 'buildkit-attestation',
    foundAt,
    ...(location === undefined ? {} : { location }),
    ...(dockerfile === undefined ? {} : { dockerfile }),
    ...(base === undefined ? {} : { base }),
    ...(provenance.finishedOn === undefined ? {} : { finishedOn: provenance.finishedOn }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(on === undefined ? {} : { buildPlatform: on }),
    note: notes.join('; '),
  };
}

/** A remote git context names repository and commit; the path is relative to the context's directory. */
function toLocation({ configSource }: BuildProvenance): SourceLocation | undefined {
  const source = configSource?.uri === undefined ? undefined : parseSourceAnnotation(configSource.uri);
  if (source === undefined || configSource?.commit === undefined) return undefined;
  const directory = source.directory ?? '.';
  const path = toRepositoryPath(`${directory}/${configSource.path ?? 'Dockerfile'}`);
  if (path === undefined) return undefined;
  const ref = source.ref !== undefined && /^refs\/(?:heads|tags)\//.test(source.ref) ? source.ref : undefined;
  return {
    repository: source.repository,
    commit: configSource.commit,
    directory,
    path,
    ...(ref === undefined || isCommitId(ref) ? {} : { ref }),
  };
}

function findDockerfile({ files, configSource }: BuildProvenance): string | undefined {
  const dockerfiles = files.filter(({ language }) => language === '' || language === 'Dockerfile');
  const named = dockerfiles.find(({ filename }) => filename === configSource?.path);
  return (named ?? (dockerfiles.length === 1 ? dockerfiles[0] : undefined))?.text;
}

function parametersOf({ args }: BuildProvenance): BuildParameters | undefined {
  const prefix = 'build-arg:';
  const buildArgs = Object.entries(args).flatMap(([name, value]) =>
    name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
  );
  // An empty target is the last stage.
  const target = args.target === '' ? undefined : args.target;
  if (buildArgs.length === 0 && target === undefined) return undefined;
  return {
    ...(buildArgs.length === 0 ? {} : { buildArgs: Object.fromEntries(buildArgs) }),
    ...(target === undefined ? {} : { target }),
  };
}
