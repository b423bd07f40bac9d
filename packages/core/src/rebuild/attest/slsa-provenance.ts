import { digestHex, digestOf, formatPlatform, formatReference, parseReference } from '@imagevet/registry';
import { dockerfileIn } from '../context/read-context.ts';
import { pinnedInput } from '../plan/pin-inputs.ts';
import type { BuiltImage, RebuildInput, RebuildStep } from '../types.ts';

/** What the statements are about. */
export const SLSA_PROVENANCE = 'https://slsa.dev/provenance/v1';
/** What kind of build it is; the page says what each parameter means. */
const BUILD_TYPE =
  'https://github.com/imagevet/imagevet/blob/main/docs/guides/rebuild-from-source.md#provenance';
const BUILDER_ID = 'https://github.com/imagevet/imagevet';

/** Something a build read. @see SLSA v1.0, Provenance, ResourceDescriptor */
export interface ResourceDescriptor {
  readonly uri: string;
  readonly digest: Readonly<Record<string, string>>;
  readonly name?: string;
}

/** An in-toto statement that says how one image was built. @see SLSA v1.0, Provenance */
export interface SlsaProvenance {
  readonly _type: 'https://in-toto.io/Statement/v1';
  readonly subject: readonly { readonly name: string; readonly digest: Readonly<Record<string, string>> }[];
  readonly predicateType: typeof SLSA_PROVENANCE;
  readonly predicate: {
    readonly buildDefinition: {
      readonly buildType: string;
      readonly externalParameters: Readonly<Record<string, string>>;
      readonly internalParameters: Readonly<Record<string, string>>;
      readonly resolvedDependencies: readonly ResourceDescriptor[];
    };
    readonly runDetails: {
      readonly builder: { readonly id: string; readonly version?: Readonly<Record<string, string>> };
      readonly metadata: { readonly invocationId: string };
    };
  };
}

/** What is known of the build beside its step. */
export interface SlsaProvenanceOptions {
  /** The images of the steps it stands on, by step. */
  readonly parents: ReadonlyMap<string, BuiltImage>;
  /** Who vouches for the builder: a URI of the platform that ran it. @defaultValue imagevet's own address */
  readonly builderId?: string;
}

/**
 * Says how an image was rebuilt: the commit and directory it was built from, its Dockerfile by hash, and the digest of every
 * image it stands on, and what built it when that is known. The same step and image give the same bytes: no time is told.
 *
 * @see https://slsa.dev/spec/v1.0/provenance
 */
export function slsaProvenance(
  step: RebuildStep,
  image: BuiltImage,
  { parents, builderId = BUILDER_ID }: SlsaProvenanceOptions,
): SlsaProvenance {
  const { location, platform, parameters } = step;
  const { builtBy } = image;
  const repository = `git+${location.repository}`;
  const source: ResourceDescriptor = {
    uri: `${repository}@${location.commit}#${location.directory}`,
    digest: { gitCommit: location.commit },
    name: 'context',
  };
  const { layout } = step;
  const recipe: ResourceDescriptor = {
    uri: `${repository}@${location.commit}#${location.path}`,
    ...(layout === undefined
      ? { digest: { sha256: digestHex(digestOf(step.dockerfile)) }, name: 'dockerfile' }
      : { digest: { gitCommit: location.commit }, name: 'layout' }),
  };
  const images = step.inputs.flatMap((input): ResourceDescriptor[] => {
    const pin = pinnedInput(input, (parent) => parents.get(parent)?.reference);
    if (pin === undefined) return [];
    const [algorithm = '', hex = ''] = pin.slice(pin.lastIndexOf('@') + 1).split(':');
    const uri = `docker-image://${lastingName(input, pin)}`;
    return [{ uri, digest: { [algorithm]: hex }, name: input.kind }];
  });
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [
      {
        name: formatReference({ registry: step.target.registry, repository: step.target.repository }),
        digest: { sha256: digestHex(image.descriptor.digest) },
      },
    ],
    predicateType: SLSA_PROVENANCE,
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: {
          image: formatReference(step.reference),
          platform: formatPlatform(platform),
          repository: location.repository,
          commit: location.commit,
          directory: location.directory,
          [layout === undefined ? 'dockerfile' : 'layout']: dockerfileIn(location) ?? location.path,
          ...(parameters?.target === undefined ? {} : { target: parameters.target }),
          ...Object.fromEntries(
            Object.entries(parameters?.buildArgs ?? {}).map(([name, value]) => [`build-arg:${name}`, value]),
          ),
        },
        internalParameters: {
          stepKey: step.key,
          ...(step.original === undefined ? {} : { original: step.original }),
          ...(layout === undefined ? {} : { layoutMatch: layout.match }),
        },
        resolvedDependencies: [source, recipe, ...images],
      },
      runDetails: {
        builder: {
          id: builderId,
          ...(builtBy === undefined ? {} : { version: { [builtBy.name]: builtBy.version } }),
        },
        metadata: { invocationId: step.key },
      },
    },
  };
}

/** A parent is in the scratch repository while it is built on, and stays where its own name is. */
function lastingName({ name }: RebuildInput, pin: string): string {
  if (name === undefined) return pin;
  const { registry, repository } = parseReference(name);
  const { digest } = parseReference(pin);
  return formatReference({ registry, repository, ...(digest === undefined ? {} : { digest }) });
}
