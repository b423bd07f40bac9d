import { type Digest, digestAlgorithm, isDigest, parseDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { readBody } from '../http/request.ts';
import { MAX_MANIFEST_BYTES, type ParseManifestOptions, parseManifest } from '../oci/manifest.ts';
import { ACCEPTED_MANIFESTS } from '../oci/media-types.ts';
import { manifestDigest } from '../oci/schema1.ts';
import type { VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type ImageReference, isTag, withDefaultTag } from '../reference.ts';
import { type Ask, PULL, type RegistryResponse } from './ask.ts';
import { blamed } from './mirrors.ts';

/** What a name meant when it was asked. */
export interface ResolutionReceipt {
  /** The canonical reference. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes of the manifest. */
  readonly size: number;
  /** ISO 8601. */
  readonly at: string;
  /** URL of the registry or mirror that answered. */
  readonly endpoint: string;
  /** A mirror's answer for a tag is the mirror's word; content is verified by digest from then on. */
  readonly mirror: boolean;
  readonly etag?: string;
}

/** Options of {@link fetchManifest}. */
export type FetchManifestOptions = OperationOptions & Pick<ParseManifestOptions, 'maxDescriptors'>;

/** @see OCI distribution-spec, "Pulling manifests" */
export async function fetchManifest(
  ask: Ask,
  reference: ImageReference,
  options?: FetchManifestOptions,
): Promise<VerifiedManifest> {
  return (await readManifest(ask, reference, options)).manifest;
}

/** Resolves by HEAD; the registry's word for the digest counts only as an answer to "which", never as proof of bytes. */
export async function resolveManifest(
  ask: Ask,
  reference: ImageReference,
  { now, ...options }: OperationOptions & { readonly now: () => Date },
): Promise<ResolutionReceipt> {
  const subject = formatReference(withDefaultTag(reference));
  const response = await askManifest(ask, 'HEAD', reference, options);
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
      throw blamed(mismatch(subject, reference.digest, digest), response.endpoint);
    const found = { digest, mediaType: type.split(';')[0] ?? type, size: length };
    return { reference: subject, ...found, ...given(response, now()) };
  }
  // Some registries and proxies leave the headers out.
  const read = await readManifest(ask, reference, options);
  const { digest: hashed, mediaType, size } = read.manifest.descriptor;
  return { reference: subject, digest: hashed, mediaType, size, ...given(read.response, now()) };
}

/** Old Harbor reads one media type of one line, and falls back to schema 1 when it does not know the whole line. */
async function askManifest(
  ask: Ask,
  method: 'GET' | 'HEAD',
  reference: ImageReference,
  options?: OperationOptions,
): Promise<RegistryResponse> {
  const response = await askAccepting(ask, method, reference, [ACCEPTED_MANIFESTS.join(', ')], options);
  const type = String(response.headers['content-type'] ?? '').split(';')[0];
  if (reference.digest !== undefined || !SCHEMA_1.has(type?.trim() ?? '')) return response;
  await response.dump();
  return askAccepting(ask, method, reference, ACCEPTED_MANIFESTS, options);
}

const SCHEMA_1: ReadonlySet<string> = new Set([
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
]);

async function readManifest(
  ask: Ask,
  reference: ImageReference,
  options?: FetchManifestOptions,
): Promise<{ readonly manifest: VerifiedManifest; readonly response: RegistryResponse }> {
  const subject = formatReference(withDefaultTag(reference));
  const response = await askManifest(ask, 'GET', reference, options);
  try {
    const bytes = await readBody(response, MAX_MANIFEST_BYTES, `manifest of ${subject}`);
    const type = response.headers['content-type'];
    if (reference.digest !== undefined) checkDigest(bytes, type, reference.digest, subject);
    const manifest = parseManifest(bytes, {
      ...(typeof type === 'string' ? { contentType: type } : {}),
      ...(reference.digest === undefined ? {} : { algorithm: digestAlgorithm(reference.digest) }),
      ...(options?.maxDescriptors === undefined ? {} : { maxDescriptors: options.maxDescriptors }),
    });
    return { manifest, response };
  } catch (error) {
    throw error instanceof RegistryError ? blamed(error, response.endpoint) : error;
  }
}

function askAccepting(
  ask: Ask,
  method: 'GET' | 'HEAD',
  reference: ImageReference,
  accept: readonly string[],
  options?: OperationOptions,
): Promise<RegistryResponse> {
  return ask(
    {
      method,
      repository: reference,
      path: `manifests/${nameOf(reference)}`,
      headers: { accept },
      action: PULL,
      reads: reference.digest === undefined ? 'tag' : 'digest',
      accept: [200],
      ...(method === 'GET' ? { maxBodyBytes: MAX_MANIFEST_BYTES } : {}),
      subject: formatReference(withDefaultTag(reference)),
    },
    options,
  );
}

function given({ endpoint, headers }: RegistryResponse, at: Date) {
  const { etag } = headers;
  return {
    at: at.toISOString(),
    endpoint: endpoint.url,
    mirror: endpoint.mirror,
    ...(typeof etag === 'string' ? { etag: etag.slice(0, 256) } : {}),
  };
}

/** What a request names a manifest by. */
export function nameOf(reference: ImageReference): string {
  const { digest, tag = 'latest' } = reference;
  return digest === undefined ? checkedTag(tag) : parseDigest(digest);
}

/** A reference that was not parsed must not choose another path of the registry. */
export function checkedTag(tag: string): string {
  if (isTag(tag)) return tag;
  throw new RegistryError('INVALID_REFERENCE', `${JSON.stringify(tag.slice(0, 140))} is not a tag`);
}

function checkDigest(
  bytes: Uint8Array,
  contentType: string | string[] | undefined,
  expected: Digest,
  subject: string,
): void {
  const type = typeof contentType === 'string' ? contentType : undefined;
  const received = manifestDigest(bytes, type, digestAlgorithm(expected));
  if (received !== expected) throw mismatch(subject, expected, received);
}

export function mismatch(subject: string, expected: Digest, received: Digest): RegistryError {
  return new RegistryError('DIGEST_MISMATCH', `${subject}: expected ${expected}, received ${received}`, {
    hint: 'The registry, or something between, serves other content than was asked for. Do not use it.',
    details: { expected, received },
  });
}
