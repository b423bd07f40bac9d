import { type Digest, isDigest } from '@imagevet/registry';
import { isCommitId } from '../location.ts';

/** An image or repository a build read. */
export interface BuildMaterial {
  readonly uri: string;
  /** Hash values by algorithm. */
  readonly digest: Readonly<Record<string, string>>;
}

/** A Dockerfile embedded in a provenance statement. */
export interface EmbeddedFile {
  readonly filename: string;
  readonly language: string;
  readonly text: string;
}

/** BuildKit's provenance of one image, from SLSA v0.2 or v1. Fields a build did not record are absent. */
export interface BuildProvenance {
  readonly version: 'v0.2' | 'v1';
  /** Digests the statement is about. */
  readonly subjects: readonly Digest[];
  /** Where the build definition came from. A local build has only a path. */
  readonly configSource?: { readonly uri?: string; readonly commit?: string; readonly path?: string };
  readonly frontend?: string;
  /** Frontend arguments: `target`, `build-arg:*`, `context:*`, `cmdline`. */
  readonly args: Readonly<Record<string, string>>;
  readonly materials: readonly BuildMaterial[];
  readonly files: readonly EmbeddedFile[];
  /** Source identifiers (`docker-image://...@sha256:...`) by step id. */
  readonly sources: ReadonlyMap<string, string>;
  /** Layer digests by step output, `step0:0`; several chains when it has several. */
  readonly layers: ReadonlyMap<string, readonly (readonly Digest[])[]>;
  readonly builderId?: string;
  /** `linux/amd64`: what the build ran on. */
  readonly builderPlatform?: string;
  /** RFC 3339. */
  readonly startedOn?: string;
  /** RFC 3339. */
  readonly finishedOn?: string;
}

/**
 * Reads an in-toto statement with SLSA provenance as BuildKit writes it.
 *
 * @param statement parsed JSON, not trusted
 * @returns undefined for any other statement
 * @see https://docs.docker.com/build/metadata/attestations/slsa-provenance/
 */
export function parseProvenance(statement: unknown): BuildProvenance | undefined {
  const type = text(at(statement, '_type'));
  if (type !== 'https://in-toto.io/Statement/v0.1' && type !== 'https://in-toto.io/Statement/v1')
    return undefined;
  const predicateType = text(at(statement, 'predicateType'));
  const predicate = at(statement, 'predicate');
  const subjects = list(at(statement, 'subject')).flatMap((subject) => {
    const digest = `sha256:${text(at(subject, 'digest', 'sha256'))}`;
    return isDigest(digest) ? [digest] : [];
  });
  if (predicateType === 'https://slsa.dev/provenance/v0.2') {
    const metadata = at(predicate, 'metadata');
    return toProvenance('v0.2', subjects, {
      configSource: at(predicate, 'invocation', 'configSource'),
      path: at(predicate, 'invocation', 'configSource', 'entryPoint'),
      request: at(predicate, 'invocation', 'parameters'),
      materials: at(predicate, 'materials'),
      steps: at(predicate, 'buildConfig', 'llbDefinition'),
      extension: at(metadata, 'https://mobyproject.org/buildkit@v1#metadata'),
      builderId: at(predicate, 'builder', 'id'),
      builderPlatform: at(predicate, 'invocation', 'environment', 'platform'),
      startedOn: at(metadata, 'buildStartedOn'),
      finishedOn: at(metadata, 'buildFinishedOn'),
    });
  }
  if (predicateType === 'https://slsa.dev/provenance/v1') {
    const external = at(predicate, 'buildDefinition', 'externalParameters');
    const metadata = at(predicate, 'runDetails', 'metadata');
    return toProvenance('v1', subjects, {
      configSource: at(external, 'configSource'),
      path: at(external, 'configSource', 'path'),
      request: at(external, 'request'),
      materials: at(predicate, 'buildDefinition', 'resolvedDependencies'),
      steps: at(predicate, 'buildDefinition', 'internalParameters', 'buildConfig', 'llbDefinition'),
      extension: at(metadata, 'buildkit_metadata'),
      builderId: at(predicate, 'runDetails', 'builder', 'id'),
      builderPlatform: at(predicate, 'buildDefinition', 'internalParameters', 'builderPlatform'),
      startedOn: at(metadata, 'startedOn'),
      finishedOn: at(metadata, 'finishedOn'),
    });
  }
  return undefined;
}

interface Parts {
  readonly configSource: unknown;
  readonly path: unknown;
  readonly request: unknown;
  readonly materials: unknown;
  readonly steps: unknown;
  readonly extension: unknown;
  readonly builderId: unknown;
  readonly builderPlatform: unknown;
  readonly startedOn: unknown;
  readonly finishedOn: unknown;
}

function toProvenance(
  version: BuildProvenance['version'],
  subjects: readonly Digest[],
  parts: Parts,
): BuildProvenance {
  const uri = text(at(parts.configSource, 'uri'));
  const commit =
    text(at(parts.configSource, 'digest', 'sha1')) ?? text(at(parts.configSource, 'digest', 'sha256'));
  const path = text(parts.path);
  return {
    version,
    subjects,
    ...(uri === undefined && path === undefined
      ? {}
      : { configSource: { uri, path, ...(commit !== undefined && isCommitId(commit) ? { commit } : {}) } }),
    frontend: text(at(parts.request, 'frontend')),
    args: textRecord(at(parts.request, 'args')),
    materials: list(parts.materials).flatMap((material) => {
      const name = text(at(material, 'uri'));
      return name === undefined ? [] : [{ uri: name, digest: textRecord(at(material, 'digest')) }];
    }),
    files: list(at(parts.extension, 'source', 'infos')).flatMap(toFile),
    sources: new Map(list(parts.steps).flatMap(toStepSource)),
    layers: new Map(Object.entries(Object(at(parts.extension, 'layers'))).map(toLayerChains)),
    builderId: text(parts.builderId),
    builderPlatform: text(parts.builderPlatform),
    startedOn: text(parts.startedOn),
    finishedOn: text(parts.finishedOn),
  };
}

function toFile(info: unknown): readonly EmbeddedFile[] {
  const data = text(at(info, 'data'));
  if (data === undefined) return [];
  return [
    {
      filename: text(at(info, 'filename')) ?? 'Dockerfile',
      language: text(at(info, 'language')) ?? '',
      text: Buffer.from(data, 'base64').toString('utf8'),
    },
  ];
}

function toStepSource(step: unknown): readonly (readonly [string, string])[] {
  const id = text(at(step, 'id'));
  const operation = at(step, 'op');
  const identifier =
    text(at(operation, 'Op', 'source', 'identifier')) ?? text(at(operation, 'source', 'identifier'));
  return id === undefined || identifier === undefined ? [] : [[id, identifier]];
}

function toLayerChains([output, chains]: readonly [string, unknown]): readonly [
  string,
  readonly (readonly Digest[])[],
] {
  const digests = (chain: unknown) =>
    list(chain).flatMap((layer) => {
      const digest = text(at(layer, 'digest')) ?? '';
      return isDigest(digest) ? [digest] : [];
    });
  return [output, list(chains).map(digests)];
}

/** The value at a path of own properties; undefined where there is none. */
function at(value: unknown, ...path: readonly string[]): unknown {
  let current = value;
  for (const name of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, name)) return undefined;
    current = (current as Record<string, unknown>)[name];
  }
  return current;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textRecord(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(Object(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
