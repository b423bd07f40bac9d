import {
  type BlobSource,
  type Descriptor,
  type Digest,
  digestOf,
  type ImageReference,
  type OperationOptions,
  type Pusher,
} from '@imagevet/registry';
import type { BuiltImage, RebuildPlan, RebuildResult } from '../types.ts';
import { slsaProvenance } from './slsa-provenance.ts';

const IN_TOTO = 'application/vnd.in-toto+json';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const PREDICATE_TYPE = 'in-toto.io/predicate-type';
const EMPTY = Buffer.from('{}');

/** Options of {@link attestRebuild}. */
export interface AttestRebuildOptions extends OperationOptions {
  /** The registry the images were pushed to. */
  readonly registry: Pusher;
  /** Who vouches for the builder: a URI of the platform that ran it. @defaultValue imagevet's own address */
  readonly builderId?: string;
}

/** The statement about one image. */
export interface RebuildAttestation {
  readonly step: string;
  /** The image it is about. */
  readonly subject: Digest;
  /** Manifest that holds the statement; the image's referrers list it. */
  readonly manifest: Digest;
}

/**
 * Stores SLSA provenance beside every image a plan built, as an artifact that refers to it. Doing it again changes nothing.
 *
 * The statements are not signed: they say what was done to who trusts those that may write to the repository.
 *
 * @throws {@link RegistryError} what pushing can end with
 * @see OCI image-spec, manifest.md, "Guidelines for Artifact Usage"; in-toto attestation framework, statement v1
 */
export async function attestRebuild(
  plan: RebuildPlan,
  result: RebuildResult,
  options: AttestRebuildOptions,
): Promise<readonly RebuildAttestation[]> {
  const { engine } = result;
  const parents = new Map<string, BuiltImage>();
  for (const outcome of result.outcomes)
    if (outcome.status === 'built') parents.set(outcome.step, outcome.image);
  const attestations: RebuildAttestation[] = [];
  for (const step of plan.steps) {
    const image = parents.get(step.id);
    if (image === undefined) continue;
    const { builderId } = options;
    const statement = slsaProvenance(step, image, {
      ...{ parents, engine },
      ...(builderId === undefined ? {} : { builderId }),
    });
    const manifest = await attach(
      image,
      Buffer.from(JSON.stringify(statement)),
      statement.predicateType,
      options,
    );
    attestations.push({ step: step.id, subject: image.descriptor.digest, manifest });
  }
  return attestations;
}

async function attach(
  { reference, descriptor }: BuiltImage,
  statement: Buffer,
  predicateType: string,
  { registry, signal }: AttestRebuildOptions,
): Promise<Digest> {
  const config = blobOf('application/vnd.oci.empty.v1+json', EMPTY);
  const layer = blobOf(IN_TOTO, statement, { [PREDICATE_TYPE]: predicateType });
  const { mediaType, digest, size } = descriptor;
  const manifest = {
    ...{ schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: IN_TOTO },
    config: config.descriptor,
    layers: [layer.descriptor],
    subject: { mediaType, digest, size },
    annotations: { [PREDICATE_TYPE]: predicateType },
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  for (const blob of [config, layer]) await registry.pushBlob(reference, blob, { signal });
  const target: ImageReference = { ...reference, tag: undefined, digest: digestOf(bytes) };
  return (await registry.pushManifest(target, { bytes, mediaType: OCI_MANIFEST }, { signal })).digest;
}

function blobOf(
  mediaType: string,
  bytes: Buffer,
  annotations?: Readonly<Record<string, string>>,
): BlobSource {
  const descriptor: Descriptor = {
    ...{ mediaType, digest: digestOf(bytes), size: bytes.byteLength },
    ...(annotations === undefined ? {} : { annotations }),
  };
  return {
    descriptor,
    async *open() {
      yield bytes;
    },
  };
}
