import { type Digest, digestAlgorithm, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { parseManifest } from '../oci/manifest.ts';
import { manifestDigest } from '../oci/schema1.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, withDefaultTag } from '../reference.ts';
import { type Ask, DELETE, PUSH } from './ask.ts';
import { checkedTag, mismatch, nameOf } from './manifests.ts';

/** What a registry took in. */
export interface PushedManifest {
  readonly descriptor: Descriptor;
  /** The subject the manifest names, when the registry does not say that it lists referrers itself. */
  readonly unlistedSubject?: UnlistedSubject;
}

/** A referrer to list by hand. */
export interface UnlistedSubject {
  readonly subject: Digest;
  readonly referrer: Descriptor;
}

/** @see OCI distribution-spec, "Pushing Manifests", "Pushing Manifests with Subject" */
export async function pushManifest(
  ask: Ask,
  reference: ImageReference,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
  options?: OperationOptions,
): Promise<PushedManifest> {
  const algorithm = reference.digest === undefined ? 'sha256' : digestAlgorithm(reference.digest);
  const digest = manifestDigest(manifest.bytes, manifest.mediaType, algorithm);
  const subject = formatReference(withDefaultTag(reference));
  if (reference.digest !== undefined && reference.digest !== digest)
    throw mismatch(subject, reference.digest, digest);
  const response = await ask(
    {
      method: 'PUT',
      repository: reference,
      path: `manifests/${reference.tag === undefined ? digest : checkedTag(reference.tag)}`,
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
      action: PUSH,
      accept: [200, 201, 202],
      subject: `pushing ${subject}`,
    },
    options,
  );
  await response.dump();
  const said = response.headers['docker-content-digest'];
  if (typeof said === 'string' && isDigest(said) && digestAlgorithm(said) === algorithm && said !== digest) {
    throw mismatch(`pushing ${subject}`, digest, said);
  }
  const descriptor = { mediaType: manifest.mediaType, digest, size: manifest.bytes.byteLength };
  const referrer = referrerOf(manifest, descriptor);
  if (referrer === undefined || response.headers['oci-subject'] !== undefined) return { descriptor };
  return { descriptor, unlistedSubject: referrer };
}

/** How a manifest with a subject is listed among that subject's referrers. */
export function referrerOf(
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
  descriptor: Descriptor,
): UnlistedSubject | undefined {
  let parsed: VerifiedManifest;
  try {
    parsed = parseManifest(manifest.bytes, { contentType: manifest.mediaType });
  } catch (error) {
    // What is not an image manifest or index has no subject to list it under.
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
  if (parsed.kind === 'schema1') return undefined;
  const document = parsed.kind === 'image' ? parsed.manifest : parsed.index;
  if (document.subject === undefined) return undefined;
  const artifactType =
    document.artifactType ?? (parsed.kind === 'image' ? parsed.manifest.config.mediaType : undefined);
  return {
    subject: document.subject.digest,
    referrer: {
      ...descriptor,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
    },
  };
}

/** @see OCI distribution-spec, "Content Management" */
export async function deleteManifest(
  ask: Ask,
  reference: ImageReference,
  options?: OperationOptions,
): Promise<void> {
  const response = await ask(
    {
      method: 'DELETE',
      repository: reference,
      path: `manifests/${nameOf(reference)}`,
      action: DELETE,
      accept: [200, 202, 204],
      subject: `deleting ${formatReference(reference)}`,
    },
    options,
  );
  await response.dump();
}
