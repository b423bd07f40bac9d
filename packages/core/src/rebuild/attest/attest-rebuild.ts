import {
  type BlobSource,
  type Descriptor,
  type Digest,
  digestOf,
  type ImageReference,
  type OperationOptions,
  type Pusher,
  type ReferrerLister,
} from '@imagevet/registry';
import type { BuiltImage, RebuildPlan, RebuildResult, RebuildStep } from '../types.ts';
import { SLSA_PROVENANCE, slsaProvenance } from './slsa-provenance.ts';

/** Media type of a statement. */
export const IN_TOTO = 'application/vnd.in-toto+json';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const PREDICATE_TYPE = 'in-toto.io/predicate-type';
const EMPTY = Buffer.from('{}');

/** Options of {@link attestRebuild}. */
export interface AttestRebuildOptions extends OperationOptions {
  /** The registry the images were pushed to. What lists referrers is asked what an earlier run said of its images. */
  readonly registry: Pusher & Partial<ReferrerLister>;
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
 * What an earlier run built keeps the statement of that run, which knew what built it; without one it gets one that does not
 * say.
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
  const parents = new Map<string, BuiltImage>();
  for (const outcome of result.outcomes)
    if (outcome.status === 'built') parents.set(outcome.step, outcome.image);
  const attestations: RebuildAttestation[] = [];
  for (const step of plan.steps) {
    const image = parents.get(step.id);
    if (image === undefined) continue;
    const manifest =
      (image.builtBy === undefined ? await existing(image, options) : undefined) ??
      (await attach(image, statementOf(step, image, parents, options), options));
    attestations.push({ step: step.id, subject: image.descriptor.digest, manifest });
  }
  return attestations;
}

function statementOf(
  step: RebuildStep,
  image: BuiltImage,
  parents: ReadonlyMap<string, BuiltImage>,
  { builderId }: AttestRebuildOptions,
): Buffer {
  const about = { parents, ...(builderId === undefined ? {} : { builderId }) };
  return Buffer.from(JSON.stringify(slsaProvenance(step, image, about)));
}

/** The statement of this kind an image has already. */
async function existing(
  { reference, descriptor }: BuiltImage,
  { registry, signal }: AttestRebuildOptions,
): Promise<Digest | undefined> {
  const asked = { artifactType: IN_TOTO, signal };
  for await (const found of registry.referrers?.(reference, descriptor.digest, asked) ?? []) {
    if (isProvenance(found)) return found.digest;
  }
  return undefined;
}

/** Whether what refers to an image says that it is SLSA provenance. */
export function isProvenance({ annotations }: Descriptor): boolean {
  return annotations?.[PREDICATE_TYPE] === SLSA_PROVENANCE;
}

async function attach(
  { reference, descriptor }: BuiltImage,
  statement: Buffer,
  { registry, signal }: AttestRebuildOptions,
): Promise<Digest> {
  const config = blobOf('application/vnd.oci.empty.v1+json', EMPTY);
  const kind = { [PREDICATE_TYPE]: SLSA_PROVENANCE };
  const layer = blobOf(IN_TOTO, statement, kind);
  const { mediaType, digest, size } = descriptor;
  const manifest = {
    ...{ schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: IN_TOTO },
    config: config.descriptor,
    layers: [layer.descriptor],
    subject: { mediaType, digest, size },
    annotations: kind,
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
