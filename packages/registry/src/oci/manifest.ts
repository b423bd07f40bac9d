import { digestOf, isDigest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { MediaType } from './media-types.ts';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.ts';
import type { Descriptor, ImageIndex, ImageManifest, VerifiedManifest } from './types.ts';

/** Largest manifest accepted, in bytes. @see OCI distribution-spec, "Pushing manifests": registries should take 4 MiB */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;
const MAX_CHILDREN = 1024;

const KINDS: Readonly<Record<string, VerifiedManifest['kind']>> = {
  [MediaType.ociManifest]: 'image',
  [MediaType.dockerManifest]: 'image',
  [MediaType.ociIndex]: 'index',
  [MediaType.dockerManifestList]: 'index',
};

/**
 * Parses manifest bytes. The digest is computed from the bytes, before they are parsed.
 *
 * @param contentType - what the registry called them; parameters are ignored
 * @throws {@link RegistryError} `AMBIGUOUS_MANIFEST` when two readers could see different things (both an image's and
 * an index's members, or disagreeing media types), `INVALID_MANIFEST`, `LIMIT_EXCEEDED`, `UNSUPPORTED`.
 * @see CVE-2021-41190
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): VerifiedManifest {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `manifest of ${bytes.byteLength} bytes, more than ${MAX_MANIFEST_BYTES}`,
    );
  }
  const digest = digestOf(bytes);
  const document = parseStrictJson(bytes, `manifest ${digest}`, 'INVALID_MANIFEST');
  const mediaType = agreeOnMediaType(document, contentType, digest);
  const kind = KINDS[mediaType];
  if (kind === undefined) {
    throw new RegistryError('UNSUPPORTED', `manifest ${digest} has media type ${mediaType.slice(0, 120)}`, {
      hint: 'Image manifests and indexes of OCI 1.x and Docker schema 2 are read.',
    });
  }
  const imageMembers = ['config', 'layers', 'fsLayers'].filter((name) => document[name] !== undefined);
  if (kind === 'index' ? imageMembers.length > 0 : document.manifests !== undefined) {
    throw new RegistryError('AMBIGUOUS_MANIFEST', `manifest ${digest} is both an image and an index`, {
      hint: 'Do not trust this registry: different clients would run different content.',
    });
  }
  if (document.schemaVersion !== 2) throw malformed(digest, 'schemaVersion', 'must be 2');
  const descriptor: Descriptor = { mediaType, digest, size: bytes.byteLength };
  if (kind === 'index') {
    readDescriptors(document.manifests, digest, 'manifests');
    return { kind, descriptor, bytes, index: document as unknown as ImageIndex };
  }
  readDescriptor(document.config, digest, 'config');
  readDescriptors(document.layers, digest, 'layers');
  return { kind, descriptor, bytes, manifest: document as unknown as ImageManifest };
}

function agreeOnMediaType(document: JsonObject, contentType: string | undefined, digest: string): string {
  const said = contentType?.split(';')[0]?.trim().toLowerCase();
  const transport = said === undefined || said === '' || KINDS[said] === undefined ? undefined : said;
  const own = document.mediaType;
  if (own !== undefined && typeof own !== 'string') throw malformed(digest, 'mediaType', 'must be a string');
  if (own !== undefined && transport !== undefined && own !== transport) {
    throw new RegistryError(
      'AMBIGUOUS_MANIFEST',
      `manifest ${digest} says ${own}, the registry says ${transport}`,
    );
  }
  const type = own ?? transport;
  if (type !== undefined) return type;
  return document.manifests === undefined ? MediaType.ociManifest : MediaType.ociIndex;
}

function readDescriptors(value: unknown, digest: string, where: string): void {
  if (!Array.isArray(value)) throw malformed(digest, where, 'must be an array');
  if (value.length > MAX_CHILDREN) {
    throw new RegistryError(
      'LIMIT_EXCEEDED',
      `manifest ${digest} has ${value.length} ${where}, more than ${MAX_CHILDREN}`,
    );
  }
  value.forEach((item, index) => {
    readDescriptor(item, digest, `${where}[${index}]`);
  });
}

function readDescriptor(value: unknown, digest: string, where: string): void {
  if (!isObject(value)) throw malformed(digest, where, 'must be a descriptor');
  if (typeof value.mediaType !== 'string') throw malformed(digest, `${where}.mediaType`, 'must be a string');
  if (typeof value.digest !== 'string' || !isDigest(value.digest)) {
    throw new RegistryError(
      'INVALID_DIGEST',
      `manifest ${digest}: ${where}.digest is not a sha256 or sha512 digest`,
    );
  }
  if (!Number.isSafeInteger(value.size) || Number(value.size) < 0) {
    throw malformed(digest, `${where}.size`, 'must be a whole number of bytes');
  }
  for (const name of ['annotations', 'platform'] as const) {
    if (value[name] !== undefined && !isObject(value[name]))
      throw malformed(digest, `${where}.${name}`, 'must be an object');
  }
}

function malformed(digest: string, where: string, rule: string): RegistryError {
  return new RegistryError('INVALID_MANIFEST', `manifest ${digest}: ${where} ${rule}`);
}
