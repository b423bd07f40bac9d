import { type Digest, digestAlgorithm, digestOf, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { readBody } from '../http/transport.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { ACCEPTED_MANIFESTS } from '../oci/media-types.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, withDefaultTag } from '../reference.ts';
import type { Ask } from './client.ts';

/** @see OCI distribution-spec, "Pulling manifests" */
export async function fetchManifest(
  ask: Ask,
  reference: ImageReference,
  options?: OperationOptions,
): Promise<VerifiedManifest> {
  const subject = formatReference(withDefaultTag(reference));
  const response = await ask(
    {
      method: 'GET',
      repository: reference,
      path: `manifests/${nameOf(reference)}`,
      headers: { accept: ACCEPTED_MANIFESTS.join(', ') },
      action: 'pull',
      accept: [200],
      subject,
    },
    options,
  );
  const bytes = await readBody(response, MAX_MANIFEST_BYTES, `manifest of ${subject}`);
  if (reference.digest !== undefined) checkDigest(bytes, reference.digest, subject);
  const type = response.headers['content-type'];
  return parseManifest(bytes, typeof type === 'string' ? type : undefined);
}

/** Resolves by HEAD; the registry's word for the digest counts only as an answer to "which", never as proof of bytes. */
export async function resolveManifest(
  ask: Ask,
  reference: ImageReference,
  options?: OperationOptions,
): Promise<Descriptor> {
  const subject = formatReference(withDefaultTag(reference));
  const response = await ask(
    {
      method: 'HEAD',
      repository: reference,
      path: `manifests/${nameOf(reference)}`,
      headers: { accept: ACCEPTED_MANIFESTS.join(', ') },
      action: 'pull',
      accept: [200],
      subject,
    },
    options,
  );
  await response.dump();
  const digest = response.headers['docker-content-digest'];
  const length = Number(response.headers['content-length']);
  const type = response.headers['content-type'];
  if (
    typeof digest === 'string' &&
    isDigest(digest) &&
    Number.isSafeInteger(length) &&
    typeof type === 'string'
  ) {
    if (reference.digest !== undefined && reference.digest !== digest)
      throw mismatch(subject, reference.digest, digest);
    return { mediaType: type.split(';')[0] ?? type, digest, size: length };
  }
  // Some registries and proxies leave the headers out.
  return (await fetchManifest(ask, reference, options)).descriptor;
}

/** @see OCI distribution-spec, "Pushing Manifests" */
export async function pushManifest(
  ask: Ask,
  reference: ImageReference,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
  options?: OperationOptions,
): Promise<Descriptor> {
  const algorithm = reference.digest === undefined ? 'sha256' : digestAlgorithm(reference.digest);
  const digest = digestOf(manifest.bytes, algorithm);
  const subject = formatReference(withDefaultTag(reference));
  if (reference.digest !== undefined && reference.digest !== digest)
    throw mismatch(subject, reference.digest, digest);
  const response = await ask(
    {
      method: 'PUT',
      repository: reference,
      path: `manifests/${reference.tag ?? reference.digest ?? digest}`,
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
      action: 'pull,push',
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
  return { mediaType: manifest.mediaType, digest, size: manifest.bytes.byteLength };
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
      action: 'pull,push,delete',
      accept: [200, 202, 204],
      subject: `deleting ${formatReference(reference)}`,
    },
    options,
  );
  await response.dump();
}

function nameOf(reference: ImageReference): string {
  return reference.digest ?? reference.tag ?? 'latest';
}

function checkDigest(bytes: Uint8Array, expected: Digest, subject: string): void {
  const received = digestOf(bytes, digestAlgorithm(expected));
  if (received !== expected) throw mismatch(subject, expected, received);
}

function mismatch(subject: string, expected: Digest, received: Digest): RegistryError {
  return new RegistryError('DIGEST_MISMATCH', `${subject}: expected ${expected}, received ${received}`, {
    hint: 'The registry, or something between, serves other content than was asked for. Do not use it.',
    details: { expected, received },
  });
}
